/** The destination of log lines: a stream whose reader may be slow or closed. */
import type { Writable } from "node:stream"

/** Takes a line without a line break at its end. */
export type Sink = (line: string) => void

/** Settings of a sink. */
export interface Options {
  /** The number of bytes that may be buffered for the reader of the stream. */
  readonly maxBuffered: number
  /** The line that reports the number of dropped lines. */
  readonly dropped: (count: number) => string
}

/**
 * A sink that never buffers more than `maxBuffered` bytes, or one line that is longer. While its reader is
 * slower, lines are dropped and counted; their number is reported as soon as there is room.
 */
export const toStream = (
  stream: Pick<Writable, "write" | "writable" | "writableLength" | "once">,
  { dropped, maxBuffered }: Options
): Sink => {
  let count = 0
  const write = (line: string): boolean => {
    const text = `${line}\n`
    const waiting = stream.writableLength
    if (waiting > 0 && waiting + Buffer.byteLength(text) > maxBuffered) return false
    stream.write(text)
    return true
  }
  const confess = (): boolean => {
    if (count > 0 && !write(dropped(count))) return false
    count = 0
    return true
  }
  return (line) => {
    if (!stream.writable) return
    if (confess() && write(line)) return
    if (count++ === 0) stream.once("drain", confess)
  }
}
