/**
 * The view of the events on a connection. Pure. Nothing that a server sends reaches the terminal unescaped.
 */
import * as Message from "../../protocol/Message.ts"
import type { Event } from "../../recording/Observer.ts"
import * as Printable from "../../server/Printable.ts"
import type { Style } from "../terminal/Style.ts"

/** The forms of bodies: a line of text, JSON with a line for each field, bytes, or nothing. */
export const bodies = ["auto", "text", "json", "hex", "none"] as const

/** One of the forms. */
export type Bodies = (typeof bodies)[number]

export interface Options {
  readonly bodies: Bodies
  /** How many bytes of a body are shown. */
  readonly maxBytes: number
  readonly style: Style
}

const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** The text, if the bytes are UTF-8; a character that is cut at their end is left out. */
const textOf = (bytes: Uint8Array, isCut: boolean): string | undefined => {
  for (let less = 0; less <= (isCut ? 3 : 0); less++) {
    try {
      return decoder.decode(bytes.subarray(0, bytes.length - less))
    } catch {}
  }
  return undefined
}

const jsonOf = (text: string): string | undefined => {
  try {
    return JSON.stringify(JSON.parse(text), undefined, 2)
  } catch {
    return undefined
  }
}

const perLine = 16

const printableByte = (byte: number): string =>
  byte >= 0x20 && byte < 0x7f ? String.fromCharCode(byte) : "."

/** Offsets, bytes and their characters, as in hexdump -C. */
export const hexDump = (bytes: Uint8Array): ReadonlyArray<string> =>
  Array.from({ length: Math.ceil(bytes.length / perLine) }, (_, line) => {
    const part = bytes.subarray(line * perLine, (line + 1) * perLine)
    const digits = Array.from(part, (byte) => byte.toString(16).padStart(2, "0"))
    const halves = [digits.slice(0, 8).join(" "), digits.slice(8).join(" ")]
    const offset = (line * perLine).toString(16).padStart(8, "0")
    const columns = `${(halves[0] ?? "").padEnd(23)}  ${(halves[1] ?? "").padEnd(23)}`
    return `${offset}  ${columns}  |${Array.from(part, printableByte).join("")}|`
  })

/** The view of a body: on the line of its frame, or in lines below it. */
interface Shown {
  readonly beside: string
  readonly below: ReadonlyArray<string>
}

const beside = (beside: string): Shown => ({ beside, below: [] })
const below = (below: ReadonlyArray<string>): Shown => ({ beside: "", below })

const shown = (bytes: Uint8Array, how: Bodies, isCut: boolean): Shown => {
  if (bytes.length === 0 || how === "none") return beside("")
  const text = how === "hex" ? undefined : textOf(bytes, isCut)
  if (text === undefined) return below(hexDump(bytes))
  const json = how === "json" ? jsonOf(text) : undefined
  return json === undefined ? beside(Printable.line(text)) : below(json.split("\n").map(Printable.line))
}

const time = (at: number): string => `${(at / 1000).toFixed(3).padStart(9)} s`

const typeName = (type: number): string => {
  if (!Message.isType(type)) return "(no type of the protocol)"
  return Message.name(type)
}

const typeLetter = (type: number): string =>
  type > 0x20 && type < 0x7f ? String.fromCharCode(type) : `0x${type.toString(16).padStart(2, "0")}`

const arrows = { client: "→", server: "←" } as const

const nameWidth = Math.max(...Object.values(Message.Type).map((type) => Message.name(type).length))

const withBody = (
  head: string,
  event: Extract<Event, { readonly _tag: "Frame" | "Bytes" }>,
  options: Options
): string => {
  const kept = event.bytes.subarray(0, options.maxBytes)
  const isCut = kept.length < event.length
  const { below, beside } = shown(kept, options.bodies, isCut)
  const left = event.length - kept.length
  const rest = isCut && options.bodies !== "none" ? [options.style.dim(`… ${left} more bytes`)] : []
  const line = `${head}${beside === "" ? "" : `  ${beside}`}`
  return [line.trimEnd(), ...[...below, ...rest].map((text) => `    ${text}`)].join("\n")
}

/** The lines of an event, without a line break at their end. */
export const show = (event: Event, options: Options): string => {
  const start = options.style.dim(time(event.at))
  switch (event._tag) {
    case "Opened":
      return `${start}  ── connected to ${Printable.line(event.peer)}`
    case "Ended": {
      const detail = event.detail === undefined ? "" : `: ${Printable.line(event.detail)}`
      return `${start}  ${arrows[event.from]} ── the ${event.from} ${how(event)}${detail}`
    }
    case "Bytes":
      return withBody(
        `${start}  ${arrows[event.from]} ── ${event.length} bytes that are no frame`,
        event,
        options
      )
    case "Frame": {
      const letter = options.style.bold(typeLetter(event.type))
      const name = typeName(event.type).padEnd(nameWidth)
      const length = String(event.length).padStart(7)
      return withBody(`${start}  ${arrows[event.from]} ${letter}  ${name} ${length}`, event, options)
    }
  }
}

/** The line for a frame that has been sent in part. */
export const unfinished = (bytes: number): string =>
  `${" ".repeat(11)}  ${arrows.client} ·· ${bytes} bytes of a frame that is not complete`

const how = ({ from, how }: Extract<Event, { readonly _tag: "Ended" }>): string => {
  if (how === "closed") return "has closed its half"
  return from === "client" ? "broke the connection off" : "is gone"
}
