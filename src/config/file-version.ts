import { statSync } from 'node:fs'

/** Differs after every change of a file, of its mode too; whoever renews one may put a new one in its place. */
export function versionOf(file: string): string {
  try {
    const { ino, size, mtimeNs, ctimeNs } = statSync(file, { bigint: true })
    return `${ino} ${size} ${mtimeNs} ${ctimeNs}`
  } catch {
    return 'out of reach'
  }
}
