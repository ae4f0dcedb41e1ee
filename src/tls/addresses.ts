import { BlockList, isIP, SocketAddress } from 'node:net'

declare const brand: unique symbol
/** An IP address or a CIDR block, as an operator lists them: `192.0.2.7`, `10.0.0.0/8`, `2001:db8::/32`. */
export type AddressBlock = string & { readonly [brand]: 'AddressBlock' }

/** @returns undefined for what is no such block, or is a block of every address: that is no list */
export function parseAddressBlock(text: string): AddressBlock | undefined {
  const [address = '', prefix, more] = text.split('/')
  const family = familyOf(address)
  if (family === undefined || more !== undefined) return undefined
  if (prefix === undefined) return text as AddressBlock
  if (!/^[1-9]\d{0,2}$/.test(prefix) || Number(prefix) > BITS[family]) return undefined
  return text as AddressBlock
}

/**
 * @param blocks of which an address has to be in one
 * @returns asks for one address as a socket has it; an IPv4 address in IPv6 form is the IPv4 address
 */
export function addressTest(blocks: readonly AddressBlock[]): (address: string) => boolean {
  const list = new BlockList()
  for (const block of blocks) {
    const [address = '', prefix] = block.split('/')
    const family = familyOf(address)
    if (family === undefined) throw new RangeError(`${block} is no address block`)
    list.addSubnet(address, prefix === undefined ? BITS[family] : Number(prefix), family)
  }
  return (address) => {
    const plain = plainAddress(address)
    const family = plain === undefined ? undefined : familyOf(plain)
    return plain !== undefined && family !== undefined && list.check(plain, family)
  }
}

/**
 * An address in the one form in which it is told and compared: IPv6 in its shortest spelling and without the zone, an
 * IPv4 address in IPv6 form (which a socket has that listens to both) as IPv4.
 * @returns undefined for what is no address
 */
export function plainAddress(text: string): string | undefined {
  const [address = '', ...zone] = text.split('%')
  if (isIP(address) === 4 && zone.length === 0) return address
  if (isIP(address) !== 6 || zone.length > 1) return undefined
  const { address: shortest } = new SocketAddress({ address, family: 'ipv6' })
  return MAPPED.exec(shortest)?.[1] ?? shortest
}

const MAPPED = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/
const BITS = { ipv4: 32, ipv6: 128 } as const

function familyOf(address: string): keyof typeof BITS | undefined {
  if (address.includes('%')) return undefined
  const version = isIP(address)
  return version === 4 ? 'ipv4' : version === 6 ? 'ipv6' : undefined
}
