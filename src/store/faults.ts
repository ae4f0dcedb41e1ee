import { GbaError } from '../errors.ts'

/** Every adapter's word for "no room": nothing was stored, and nothing that was there had to go. */
export const full = (store: string, entries: number) =>
  new GbaError('STORE_UNAVAILABLE', `${store} is full with ${entries} entries`)

/** A record that was changed at rest, moved to another key, or sealed under a key that is gone: it is never used. */
export const corrupted = (record: string) =>
  new GbaError('STORE_UNAVAILABLE', `${record} record was changed at rest, or its key is gone`)
