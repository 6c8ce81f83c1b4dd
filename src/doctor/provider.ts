import { PROVIDER_ABILITIES, PROVIDERS, type StoreAbilities } from '../object-storage/providers.js'
import { ok, warn, type Probe } from './finding.js'
import type { Site } from './site.js'

const VARIABLES: Readonly<Record<keyof StoreAbilities, string>> = {
  conditionalWrites: 'S3_CONDITIONAL_WRITES',
  checksums: 'S3_CHECKSUMS',
  postPolicies: 'S3_POST_POLICIES',
  unequalParts: 'S3_UNEQUAL_PARTS'
}
const ABILITIES = Object.keys(VARIABLES) as Array<keyof StoreAbilities>

/** Sums up what the other probes measured: it asks nothing by itself. */
const provider: Probe<Site> = {
  id: 'provider',
  async run ({ config: { s3 }, measured }) {
    const known = ABILITIES.filter(ability => measured[ability] !== undefined)
    const lacking = known.filter(ability => s3[ability] && !measured[ability])
    const fitting = PROVIDERS.filter(name => known.every(ability => PROVIDER_ABILITIES[name][ability] === measured[ability]))
    if (lacking.length === 0) {
      const better = fitting.length > 0 && !fitting.includes(s3.provider) ? `; ${fitting.join(' or ')} would use all that it can` : ''
      return [ok('provider', `the store can do what S3_PROVIDER=${s3.provider} stands for${better}`)]
    }
    const overrides = lacking.map(ability => `${VARIABLES[ability]}=false`).join(' ')
    return [warn('provider', `S3_PROVIDER=${s3.provider} stands for more than the store can do`, fitting[0] === undefined ? `set ${overrides}` : `set S3_PROVIDER=${fitting.join(' or ')}, or ${overrides}`)]
  }
}

export const providerProbes: ReadonlyArray<Probe<Site>> = [provider]
