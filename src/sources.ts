import { Memo } from './core/memo.ts'
import type { Rate } from './store/store.ts'
import { type AddressBlock, addressTest, parseAddressBlock, plainAddress } from './tls/addresses.ts'

/**
 * What the address of a client is counted as: an IPv4 address by itself, an IPv6 address by its /64, since whoever has
 * one address there has all of them.
 * @param address  as a socket has it; what is none is counted as it is
 */
export function sourceKey(address: string): string {
  const plain = plainAddress(address)
  if (plain === undefined || !plain.includes(':')) return plain ?? address
  // Where it ends in an IPv4 address, that stands for two groups.
  const [head = '', tail] = plain.replace(/:[\d.]+\.\d+$/, ':0:0').split('::')
  const [before, after] = [groupsOf(head), groupsOf(tail ?? '')]
  const zeros = Array.from({ length: 8 - before.length - after.length }, () => '0')
  return `${[...before, ...zeros, ...after].slice(0, 4).join(':')}::/64`
}

const groupsOf = (text: string): string[] => (text === '' ? [] : text.split(':'))

/**
 * @param trusted  addresses and networks behind which many UEs are, and which are not counted as one
 * @returns what an address is counted as; undefined: not by its address
 */
export function sourcesBut(trusted: readonly string[]): (address: string) => string | undefined {
  const isTrusted = among(trusted)
  const known = new Memo((address) => ({ source: isTrusted(address) ? undefined : sourceKey(address) }), MEMO)
  return (address) => known.of(address).source
}

/** One for each of those that have a connection, mostly. */
const MEMO = { most: 4_096, longest: 64 }

/** @returns whether an address is one of these, or in one of these networks */
export const among = (listed: readonly string[]): ((address: string) => boolean) => addressTest(listed.map(blockOf))

/** The rate of the configuration; undefined: the limit is lifted. */
export const rateOf = (rate: Rate): Rate | undefined => (rate.burst === 0 ? undefined : rate)

function blockOf(text: string): AddressBlock {
  const block = parseAddressBlock(text)
  if (!block) throw new TypeError('an address that passed validation')
  return block
}
