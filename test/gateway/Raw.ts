/**
 * Requests as they are written, and all that a connection answers to them until it is closed.
 */
import { buffer } from "node:stream/consumers"
import * as Effect from "effect/Effect"
import * as Served from "./Served.ts"

/** A response as it was written. */
export interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

const line = "\r\n"

/** The responses in what a connection has given, each with its length. */
export const responses = (text: string): ReadonlyArray<Response> => {
  const all: Array<Response> = []
  for (let rest = text; rest !== ""; ) {
    const end = rest.indexOf(line + line)
    if (end < 0) throw new Error(`no response: ${rest}`)
    const [first = "", ...lines] = rest.slice(0, end).split(line)
    const headers = Object.fromEntries(
      lines.map((each) => {
        const [name = "", value = ""] = each.split(/: (.*)/s)
        return [name.toLowerCase(), value]
      })
    )
    const from = end + 2 * line.length
    const length = Number(headers["content-length"] ?? 0)
    all.push({ status: Number(first.split(" ")[1]), headers, body: rest.slice(from, from + length) })
    rest = rest.slice(from + length)
  }
  return all
}

/** What a connection answers. */
export const asked = (served: Pick<Served.Served, "address">, request: string) =>
  Effect.scoped(
    Effect.flatMap(Served.dial(served, request), (socket) =>
      Effect.map(
        Effect.promise(() => buffer(socket)),
        (bytes) => responses(bytes.toString("latin1"))
      )
    )
  )

/** The head of a request as it is written, with what its other lines say. */
export const head = (first: string, ...lines: ReadonlyArray<string>): string =>
  [`${first} HTTP/1.1`, "Host: localhost", ...lines, "", ""].join(line)

/** The handshake of a WebSocket, which may be wrong. */
export const handshake = ({
  key = "dGhlIHNhbXBsZSBub25jZQ==",
  path = "/v1/stream",
  protocol = "dataconn.v1",
  version = "13"
} = {}): string =>
  head(
    `GET ${path}`,
    ...["Connection: Upgrade", "Upgrade: websocket", `Sec-WebSocket-Version: ${version}`],
    ...[`Sec-WebSocket-Key: ${key}`, `Sec-WebSocket-Protocol: ${protocol}`]
  )

/** A text of a WebSocket's client as it is written, with a mask that changes nothing. */
export const text = (message: object): Buffer => {
  const payload = Buffer.from(JSON.stringify(message))
  return Buffer.concat([Uint8Array.of(0x81, 0x80 | payload.length, 0, 0, 0, 0), payload])
}
