#!/usr/bin/env node
import { dirname } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadBundle } from './load-bundle.js'

await loadBundle(dirname(fileURLToPath(import.meta.url))).bundle.runCommand(process.argv.slice(2))
