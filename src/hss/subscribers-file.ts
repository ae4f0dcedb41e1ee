import { open } from 'node:fs/promises'
import { loadSubscribers, type Subscribers } from './subscribers.ts'

/**
 * The subscribers of a file, whose K and OPc open everything: whoever may do something with the file is told of.
 * @param warn told what is unwise but works: the file and a sentence
 * @throws ConfigError as loadSubscribers, or the error of the file system
 */
export async function readSubscribers(
  file: string,
  warn: (file: string, detail: string) => void,
): Promise<Subscribers> {
  const handle = await open(file)
  try {
    const { mode } = await handle.stat()
    if (mode & 0o007) warn(file, `holds keys and is open to every user; run: chmod 600 ${file}`)
    return loadSubscribers(await handle.readFile('utf8'), file)
  } finally {
    await handle.close()
  }
}
