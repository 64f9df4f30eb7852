/**
 * Ends connections whose clients have not acknowledged anything for too long: the path is cut, or the machine
 * is down.
 *
 * Unacknowledged heartbeats keep TCP's keepalive from probing, and TCP itself gives up only after a quarter
 * of an hour. The system's table of connections (`net/TcpTable`) shows repeated retransmissions.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Timers from "../loop/Timers.ts"
import * as TcpTable from "../net/TcpTable.ts"

/** The required members of a socket. */
export interface Socket extends TcpTable.Ends {
  readonly destroy: (error: Error) => unknown
}

/**
 * The time since which a peer has not answered, and the numbers of attempts of the system at that time and
 * now.
 */
interface Silence {
  readonly since: number
  readonly first: number
  last: number
}

export class DeadPaths {
  private readonly timeoutMillis: number
  private readonly sockets = new Set<Socket>()
  private silent = new Map<Socket, Silence>()
  /** The system's counter at the last check. */
  private failures: number | undefined

  constructor(timeoutMillis: number) {
    this.timeoutMillis = timeoutMillis
  }

  get size(): number {
    return this.sockets.size
  }

  watch(socket: Socket): void {
    this.sockets.add(socket)
  }

  forget(socket: Socket): void {
    this.sockets.delete(socket)
    this.silent.delete(socket)
  }

  /** Whether the table may have news, judging by the counter of its additions (`TcpTable.failures`). */
  mayTell(failures: number | undefined): boolean {
    const isNew = failures === undefined || failures !== this.failures
    this.failures = failures
    return isNew || this.silent.size > 0
  }

  /** Ends connections that have been in the table for too long. An answer of the peer restarts the time. */
  look(table: ReadonlyArray<TcpTable.Unanswered>, now: number): void {
    const before = this.silent
    this.silent = new Map()
    if (table.length === 0) return
    const attempts = new Map(table.map((row) => [row.key, row.attempts]))
    for (const socket of [...this.sockets]) {
      const key = TcpTable.keyOf(socket)
      const count = key === undefined ? undefined : attempts.get(key)
      if (count !== undefined) this.note(socket, count, before.get(socket), now)
    }
  }

  private note(socket: Socket, attempts: number, known: Silence | undefined, now: number): void {
    // Each answer resets the count.
    if (known === undefined || attempts < known.last) {
      this.silent.set(socket, { since: now, first: attempts, last: attempts })
      return
    }
    known.last = attempts
    this.silent.set(socket, known)
    if (attempts === known.first || now - known.since < this.timeoutMillis) return
    this.forget(socket)
    socket.destroy(new Error(`The client acknowledged nothing for ${this.timeoutMillis} ms (peerTimeout)`))
  }
}

/** The longest interval between reads of the table. */
const mostMillis = 5000

/** The least number of reads within the timeout. */
const looks = 6

/**
 * Reads the table periodically, if it may have news, for as long as the scope is open and the system has one.
 */
export const make = (timeout: Duration.Duration): Effect.Effect<DeadPaths, never, Scope.Scope> =>
  Effect.gen(function* () {
    const timeoutMillis = Duration.toMillis(timeout)
    const paths = new DeadPaths(timeoutMillis)
    if (!Number.isFinite(timeoutMillis)) return paths
    const clock = yield* Effect.clockWith(Effect.succeed)
    const read = Effect.map(TcpTable.read, (table) => {
      if (table !== undefined) paths.look(table, Timers.elapsed(clock))
    })
    const look: Effect.Effect<void> = Effect.suspend(() =>
      paths.size === 0
        ? Effect.void
        : Effect.flatMap(TcpTable.readFailures, (failures) => (paths.mayTell(failures) ? read : Effect.void))
    )
    const interval = Math.min(mostMillis, timeoutMillis / looks)
    yield* Effect.forkScoped(Effect.forever(Effect.andThen(Effect.sleep(interval), look)))
    return paths
  })
