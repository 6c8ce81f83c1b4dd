import { BlockList, isIP } from 'node:net'

/**
 * How far an address reaches: `public` is the Internet, `private` is a network of one's own, and `forbidden` is
 * neither: link-local addresses with the metadata services of clouds, multicast, unassigned ranges, and all that
 * carries another address inside (mapped, NAT64, 6to4, Teredo), which would lead around these rules.
 * @see https://www.iana.org/assignments/iana-ipv4-special-registry
 * @see https://www.iana.org/assignments/iana-ipv6-special-registry
 */
export function classifyAddress (address: string): 'public' | 'private' | 'forbidden' {
  const family = isIP(address)
  if (family === 0) return 'forbidden'
  if (family === 4) {
    if (PRIVATE.check(address, 'ipv4')) return 'private'
    return SPECIAL.check(address, 'ipv4') ? 'forbidden' : 'public'
  }
  // A zone names an interface: no address of the Internet has one.
  if (address.includes('%')) return 'forbidden'
  // IPv6 before IPv4: a BlockList finds a mapped address among its IPv4 ranges.
  if (!GLOBAL_UNICAST.check(address, 'ipv6')) return PRIVATE_IPV6.check(address, 'ipv6') ? 'private' : 'forbidden'
  return SPECIAL_IPV6.check(address, 'ipv6') ? 'forbidden' : 'public'
}

const PRIVATE = blockList('ipv4', ['10.0.0.0/8', '100.64.0.0/10', '127.0.0.0/8', '172.16.0.0/12', '192.168.0.0/16'])
const SPECIAL = blockList('ipv4', [
  '0.0.0.0/8', '169.254.0.0/16', '192.0.0.0/24', '192.0.2.0/24', '192.31.196.0/24', '192.52.193.0/24', '192.88.99.0/24',
  '192.175.48.0/24', '198.18.0.0/15', '198.51.100.0/24', '203.0.113.0/24', '224.0.0.0/4', '240.0.0.0/4'
])
/** The one block that the Internet's IPv6 addresses come from: what is outside of it is refused without a list. */
const GLOBAL_UNICAST = blockList('ipv6', ['2000::/3'])
const SPECIAL_IPV6 = blockList('ipv6', ['2001::/23', '2001:db8::/32', '2002::/16', '2620:4f:8000::/48', '3fff::/20'])
const PRIVATE_IPV6 = blockList('ipv6', ['::1/128', 'fc00::/7'])

function blockList (family: 'ipv4' | 'ipv6', ranges: readonly string[]): BlockList {
  const list = new BlockList()
  for (const range of ranges) {
    const [address = '', prefix] = range.split('/')
    list.addSubnet(address, Number(prefix), family)
  }
  return list
}
