/**
 * DataConn's protocol by hand on `node:net`: headers parsed, bodies counted in the one buffer that the socket
 * reads into. With `--format=MEDIA-TYPE` it asks by v1 requests.
 */
import * as FrameReader from "../support/FrameReader.ts"
import * as LoadClient from "../support/LoadClient.ts"
import * as LoadSocket from "../support/LoadSocket.ts"

const letters = { A: 0x41, F: 0x46, H: 0x48, I: 0x49, R: 0x52 } as const

const format = LoadClient.flag("format")

const requestOf = (query: Uint8Array): Uint8Array =>
  format === undefined
    ? query
    : Buffer.from(JSON.stringify({ version: "v1", query: Buffer.from(query).toString(), format }))

const encode = (query: Uint8Array): Uint8Array => {
  const body = requestOf(query)
  const bytes = Buffer.alloc(5 + body.length)
  bytes.writeUInt32LE(body.length)
  bytes[4] = letters.R
  bytes.set(body, 5)
  return bytes
}

const speak = ({ done, failed }: LoadSocket.Ending): LoadSocket.Protocol => {
  let frames = 0
  let onBytes: (bytes: Uint8Array) => void = () => {}
  return {
    encode,
    begin: (each) => {
      frames = 0
      onBytes = each
    },
    read: FrameReader.make({
      onHeader: (type) => {
        frames++
        if (type !== letters.A && type !== letters.I && type !== letters.F && type !== letters.H) {
          failed(new Error(`the server answered ${String.fromCharCode(type)}`))
        }
      },
      onBody: (type, bytes) => {
        if (type === letters.I || type === letters.F) onBytes(bytes)
      },
      onEnd: (type) => {
        if (type === letters.F) done(frames)
      }
    })
  }
}

await LoadClient.main((port) => LoadSocket.connect(port, speak))
