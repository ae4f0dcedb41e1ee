import { isDeepStrictEqual } from 'node:util'
import type { Stages } from './ap-stages.ts'
import type { AppServer } from './passage.ts'

/** All that a lane needs of a configuration. */
export interface LaneRules {
  readonly stages: Stages
  readonly appServers: readonly AppServer[]
  /** Largest answer that auth-int can cover, octets. */
  readonly authIntAnswerBytes: number
}

/** What is kept open to one application server. */
export interface Way {
  /** Takes no more requests, finishes those that it has, and lets go of its connections. */
  close(): Promise<unknown>
  destroy(): unknown
}

/** A change that can be made without fail, or left. */
export interface Prepared {
  commit(): void
  discard(): void
}

/** Several changes as one. @throws what one of them throws; the others are left then */
export function together(changes: readonly (() => Prepared)[]): Prepared {
  const prepared: Prepared[] = []
  const discard = () => {
    for (const each of prepared) each.discard()
  }
  try {
    for (const prepare of changes) prepared.push(prepare())
  } catch (error) {
    discard()
    throw error
  }
  return {
    commit() {
      for (const each of prepared) each.commit()
    },
    discard,
  }
}

/** One request's hold on the rules that were there when it arrived. */
export interface Held<Kind extends Way> {
  readonly rules: LaneRules
  /** @throws TypeError for a server that these rules do not know */
  wayTo(appServer: string): Kind
  /** This request needs no way any more; the second time it means nothing. */
  release(): void
}

/**
 * A lane whose rules can be replaced while requests are on it: each takes those of its arrival and keeps them to its
 * end. Ways to application servers that stay as they are stay open; one that no rules name any more is closed once the
 * last request that may still want it is through.
 */
export interface Lane<Kind extends Way> {
  hold(): Held<Kind>
  /** @throws what opening a way throws; nothing has changed then */
  prepare(rules: LaneRules): Prepared
  destroy(): void
}

interface Opened<Kind extends Way> {
  readonly server: AppServer
  readonly way: Kind
  /** Rules that name it and are in use. */
  users: number
  readonly onGone: () => void
}

interface Generation<Kind extends Way> {
  readonly rules: LaneRules
  readonly ways: ReadonlyMap<string, Opened<Kind>>
  requests: number
}

/**
 * @param open    opens a way
 * @param onOpen  told of each that was opened. @returns to be called when it is gone
 */
export function laneOf<Kind extends Way>(
  first: LaneRules,
  open: (server: AppServer) => Kind,
  onOpen: (server: AppServer, way: Kind) => () => void = () => () => {},
): Lane<Kind> {
  const all = new Set<Kind>()
  let current = generationOf(first, undefined)
  take(current)

  function generationOf(rules: LaneRules, before: Generation<Kind> | undefined): Generation<Kind> {
    const ways = new Map<string, Opened<Kind>>()
    try {
      for (const server of rules.appServers) {
        const kept = before?.ways.get(server.name)
        const isSame = kept !== undefined && isDeepStrictEqual(kept.server, server)
        ways.set(server.name, isSame ? kept : opened(server))
      }
    } catch (error) {
      destroyUnused(ways)
      throw error
    }
    return { rules, ways, requests: 0 }
  }

  function opened(server: AppServer): Opened<Kind> {
    const way = open(server)
    return { server, way, users: 0, onGone: onOpen(server, way) }
  }

  function take({ ways }: Generation<Kind>): void {
    for (const opened of ways.values()) {
      opened.users++
      all.add(opened.way)
    }
  }

  /** Once, when these rules are not the current ones any more and nobody holds them. */
  function leave({ ways }: Generation<Kind>): void {
    for (const opened of ways.values()) if (--opened.users === 0) void close(opened)
  }

  /** What it cannot finish is told to whoever asked; there is nobody else to tell. */
  async function close({ way, onGone }: Opened<Kind>): Promise<void> {
    await way.close().catch(() => {})
    all.delete(way)
    onGone()
  }

  return {
    hold() {
      const held = current
      held.requests++
      let isHeld = true
      return {
        rules: held.rules,
        wayTo(appServer) {
          const opened = held.ways.get(appServer)
          if (!opened) throw new TypeError(`no application server ${appServer}`)
          return opened.way
        },
        release() {
          if (!isHeld) return
          isHeld = false
          if (--held.requests === 0 && held !== current) leave(held)
        },
      }
    },
    prepare(rules) {
      const next = generationOf(rules, current)
      return {
        commit() {
          const before = current
          current = next
          take(next)
          if (before.requests === 0) leave(before)
        },
        discard: () => destroyUnused(next.ways),
      }
    },
    destroy() {
      for (const way of all) void way.destroy()
    },
  }
}

function destroyUnused<Kind extends Way>(ways: ReadonlyMap<string, Opened<Kind>>): void {
  for (const { users, way, onGone } of ways.values()) {
    if (users > 0) continue
    void way.destroy()
    onGone()
  }
}
