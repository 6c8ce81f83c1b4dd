import t from 'tap'
import { survivesCrashes } from './fixtures/crashes.js'

await survivesCrashes(t, 'sqlite')
