import { versionOf } from '../config/file-version.ts'

/** What a file says, as it last said it without a mistake. */
export interface FollowedFile<Content> {
  current(): Content
  /** Looks at it now. */
  look(): void
  close(): void
}

/** How often a file is looked at. */
export const FOLLOWED_EVERY_MS = 2_000

/**
 * Reads a file, and again each time it changes. A mistake in it, or its loss, changes nothing: what was there stays.
 * @param read       throws for a mistake; what it throws at the first reading is thrown here
 * @param onMistake  told once of each later change that could not be read
 */
export function followFile<Content>(
  file: string,
  read: () => Content,
  onMistake: (error: unknown) => void,
  { everyMs = FOLLOWED_EVERY_MS }: { readonly everyMs?: number } = {},
): FollowedFile<Content> {
  // Taken before the reading, so that a change in between is seen the next time.
  let version = versionOf(file)
  let content = read()
  const look = () => {
    const found = versionOf(file)
    if (found === version) return
    version = found
    try {
      content = read()
    } catch (error) {
      onMistake(error)
    }
  }
  const timer = setInterval(look, everyMs).unref()
  return {
    current: () => content,
    look,
    close: () => clearInterval(timer),
  }
}
