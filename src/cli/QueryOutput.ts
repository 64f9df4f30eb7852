/**
 * The output of `dataconn query`: standard output, a pager or a file. An incomplete result
 * never looks complete.
 */
import * as Effect from "effect/Effect"
import * as FileSystem from "effect/FileSystem"
import * as Option from "effect/Option"
import * as Path from "effect/Path"
import { isPlatformError, type PlatformError } from "effect/PlatformError"
import * as Random from "effect/Random"
import * as Schema from "effect/Schema"
import type * as Sink from "effect/Sink"
import * as Stdio from "effect/Stdio"
import * as Stream from "effect/Stream"
import * as Chunk from "../net/Chunk.ts"
import * as BrokenPipe from "./BrokenPipe.ts"
import type { Written } from "./Execution.ts"
import { exitCodes } from "./ExitCodes.ts"
import * as Pager from "./terminal/Pager.ts"
import * as Unfinished from "./Unfinished.ts"

/** The result could not be written. `target` is the file, or `standard output`. */
export class OutputError extends Schema.TaggedError<OutputError>()("OutputError", {
  target: Schema.String,
  detail: Schema.String
}) {
  override get message() {
    return `Cannot write to ${this.target}: ${this.detail}`
  }
}

const detail = (error: PlatformError): string =>
  error.cause instanceof Error ? error.cause.message : error.message

/** The reader of standard output has left, as with `| head`: no message is needed. */
export class Unread extends Schema.TaggedError<Unread>()("Unread", {}) {}

const isBrokenPipe = (error: unknown): boolean => isPlatformError(error) && BrokenPipe.isOne(error.cause)

export interface Options {
  /** Run before each write of output that stays, complete or not. */
  readonly onWrite: (written: Written) => Effect.Effect<void>
}

const encoder = new TextEncoder()

const bytesOf = (written: Written): Uint8Array =>
  typeof written === "string" ? encoder.encode(written) : written

const told = <E>(written: Stream.Stream<Written, E>, { onWrite }: Options): Stream.Stream<Written, E> =>
  Stream.tap(written, onWrite)

const runInto = <E>(
  written: Stream.Stream<Written, E>,
  sink: Sink.Sink<void, Written, never, PlatformError>,
  target: string
): Effect.Effect<void, E | OutputError | Unread> =>
  Effect.mapError(Stream.run(written, sink), (error) => {
    if (!isPlatformError(error)) return error as E
    return isBrokenPipe(error) ? new Unread() : new OutputError({ target, detail: detail(error) })
  })

/** Handles an error of a pipe after the last write, when there is no other listener. */
const toldLate = (error: NodeJS.ErrnoException): void => {
  process.exitCode = BrokenPipe.isOne(error) ? exitCodes.unread : exitCodes.failed
}

const hearLate = (): void => {
  if (!process.stdout.listeners("error").includes(toldLate)) process.stdout.on("error", toldLate)
}

/**
 * Writes to standard output as fast as it accepts; fails with {@link Unread} if it closes before
 * the result ends.
 */
export const toStdout = Effect.fnUntraced(function* <E>(
  written: Stream.Stream<Written, E>,
  options: Options
): Effect.fn.Return<void, E | OutputError | Unread, Stdio.Stdio> {
  const stdio = yield* Stdio.Stdio
  hearLate()
  yield* runInto(told(written, options), stdio.stdout(), "standard output")
})

/** Writes to a pager, and waits until the user has left it. */
export const toPager = <E>(
  written: Stream.Stream<Written, E>,
  options: Options
): Effect.Effect<void, E | OutputError> =>
  Effect.scoped(
    Effect.gen(function* () {
      const pager = yield* Pager.open
      yield* Effect.catchIf(
        runInto(told(written, options), pager.sink, pager.name),
        (error) => error instanceof Unread,
        () => Effect.void
      )
      const problem = yield* pager.close
      if (problem !== undefined) return yield* new OutputError({ target: pager.name, detail: problem })
    })
  )

/** Whether the output leaves a terminal at the beginning of a line. */
export const endsLine = (written: Written): boolean => bytesOf(written.slice(-1)).at(-1) === 0x0a

/** The targets of `/dev/tty` and `/dev/stdout` on a terminal. */
const terminals = /^\/dev\/(tty|pts\/|console$)/

/** Whether the name of a file leads to a terminal. */
export const isTerminal = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<boolean, never, FileSystem.FileSystem> {
  const fs = yield* FileSystem.FileSystem
  return terminals.test(yield* Effect.orElseSucceed(fs.realPath(file), () => file))
})

/**
 * Whether the file name leads to a terminal.
 *
 * **Details**
 *
 * The chunks go to a temporary file beside it, which then replaces it. If anything fails before that, an
 * existing file stays unchanged. A device or a pipe cannot be replaced, and is written to directly.
 */
export const toFile = Effect.fnUntraced(function* <E>(
  written: Stream.Stream<Written, E>,
  file: string,
  options: Options
): Effect.fn.Return<void, E | OutputError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const failed = failedAt(file)
  const place = yield* placeOf(file)
  if (place.flag !== undefined) {
    const open = failed(fs.open(file, { flag: place.flag }))
    return yield* Effect.scoped(
      Effect.flatMap(open, (device) => writeAll(told(written, options), device, failed))
    )
  }
  const { mode, partial, target } = place
  const writing = Effect.flatMap(failed(fs.open(partial, { flag: "wx", mode })), (opened) =>
    Effect.andThen(writeAll(written, opened, failed), failed(opened.sync))
  )
  const whole = Effect.scoped(writing).pipe(
    Effect.andThen(failed(fs.rename(partial, target))),
    Effect.onError(() => Effect.ignore(fs.remove(partial, { force: true })))
  )
  yield* Unfinished.during(partial, whole)
})

/**
 * An open descriptor, as of `-o >(…)` or `/dev/stdout`: there is no place for a temporary file
 * beside its name.
 */
const opened = /^\/dev\/(?:fd\/|std(?:in|out|err)$)|^\/proc\/[^/]+\/(?:task\/[^/]+\/)?fd\//

/** The way to write a file: directly with a flag, or by a temporary file that replaces it. */
type Place =
  | { readonly flag: "a" | "w" }
  | { readonly flag?: never; readonly target: string; readonly partial: string; readonly mode: number }

const placeOf = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<Place, never, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const path = yield* Path.Path
  const before = yield* Effect.option(fs.stat(file))
  const isFile = Option.isNone(before) || before.value.type === "File"
  if (!isFile || opened.test(path.resolve(file))) {
    // Appending needs no position to write at, which only a block device has.
    return { flag: Option.isSome(before) && before.value.type === "BlockDevice" ? "w" : "a" }
  }
  // A link stays, and its target is replaced.
  const target = yield* targetOf(file, maxLinks)
  const suffix = (yield* Random.nextIntBetween(0, 2 ** 32)).toString(16)
  return {
    target,
    partial: path.join(path.dirname(target), `.${path.basename(target)}.${suffix}.partial`),
    mode: Option.isSome(before) ? before.value.mode & 0o777 : 0o666
  }
})

/** How many links are followed in sequence, as in Linux. */
const maxLinks = 40

/** The target of a link, which need not exist. */
const targetOf = (
  file: string,
  links: number
): Effect.Effect<string, never, FileSystem.FileSystem | Path.Path> =>
  Effect.gen(function* () {
    const fs = yield* FileSystem.FileSystem
    const path = yield* Path.Path
    const link = yield* Effect.option(fs.readLink(file))
    if (Option.isNone(link) || links === 0) return yield* Effect.orElseSucceed(fs.realPath(file), () => file)
    return yield* targetOf(path.resolve(path.dirname(file), link.value), links - 1)
  })

/** Fails if {@link toFile} could not write to the file now. */
export const check = Effect.fnUntraced(function* (
  file: string
): Effect.fn.Return<void, OutputError, FileSystem.FileSystem | Path.Path> {
  const fs = yield* FileSystem.FileSystem
  const failed = failedAt(file)
  const place = yield* placeOf(file)
  if (place.flag === undefined) {
    const { mode, partial } = place
    const tried = Effect.scoped(failed(fs.open(partial, { flag: "wx", mode })))
    const removed = Effect.ignore(fs.remove(partial, { force: true }))
    return yield* Unfinished.during(partial, Effect.asVoid(Effect.ensuring(tried, removed)))
  }
  // The file is not opened: opening a pipe would wait for its reader, and be visible to it.
  yield* failed(fs.access(file, { writable: true }))
  if ((yield* failed(fs.stat(file))).type === "Directory") {
    return yield* new OutputError({ target: file, detail: "it is a directory" })
  }
})

type Failed = <A, R>(effect: Effect.Effect<A, PlatformError, R>) => Effect.Effect<A, OutputError, R>

/** Maps errors of the system to errors of this file. */
export const failedAt = (file: string): Failed =>
  Effect.mapError((error: PlatformError) => new OutputError({ target: file, detail: detail(error) }))

/** Writes everything to an open file, and releases the chunks. */
export const writeAll = <E>(
  written: Stream.Stream<Written, E>,
  file: FileSystem.File,
  failed: Failed
): Effect.Effect<void, E | OutputError> =>
  Stream.runForEach(written, (part) =>
    Effect.map(failed(file.writeAll(bytesOf(part))), () => {
      if (typeof part !== "string") Chunk.release(part)
    })
  )
