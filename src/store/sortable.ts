/** A number from zero up as 8 octets that sort as the numbers do. */
export function sortable(number: number): Uint8Array {
  if (!(number >= 0)) throw new RangeError('only numbers from zero up sort as octets')
  const octets = new Uint8Array(8)
  new DataView(octets.buffer).setFloat64(0, number)
  return octets
}
