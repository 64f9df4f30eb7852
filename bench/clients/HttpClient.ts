/**
 * HTTP/1.1 by hand on `node:net`: heads and the sizes of chunks are parsed, bodies are counted in the one buffer that
 * the socket reads into. `--format=MEDIA-TYPE` is what it accepts.
 */
import * as LoadClient from "../support/LoadClient.ts"
import * as LoadSocket from "../support/LoadSocket.ts"

const accepted = LoadClient.flag("format") ?? "application/json"

const requestOf = (body: Uint8Array): Buffer =>
  Buffer.concat([
    Buffer.from(
      "POST /v1/query HTTP/1.1\r\nHost: 127.0.0.1\r\nContent-Type: application/sql\r\n" +
        `Accept: ${accepted}\r\nContent-Length: ${body.length}\r\n\r\n`
    ),
    body
  ])

type State = "head" | "size" | "body" | "lineEnd"

const speak = ({ done, failed }: LoadSocket.Ending): LoadSocket.Protocol => {
  let state: State = "head"
  let line = ""
  let left = 0
  let chunks = 0
  let isChunked = false
  let isLast = false
  let onBytes: (bytes: Uint8Array) => void = () => {}

  const end = () => {
    state = "head"
    line = ""
    isLast = false
    done(chunks)
  }

  const onLine = () => {
    if (state === "head") {
      if (!line.endsWith("\r\n\r\n")) return
      if (!line.startsWith("HTTP/1.1 200")) return void failed(new Error(line))
      isChunked = /transfer-encoding: chunked/i.test(line)
      left = Number(/content-length: (\d+)/i.exec(line)?.[1] ?? 0)
      state = isChunked ? "size" : "body"
      if (!isChunked && left === 0) end()
    } else if (state === "size") {
      left = Number.parseInt(line, 16)
      isLast = left === 0
      chunks++
      state = isLast ? "lineEnd" : "body"
    } else {
      state = "size"
      if (isLast) end()
    }
    line = ""
  }

  const read = (bytes: Buffer) => {
    for (let at = 0; at < bytes.length; ) {
      if (state === "body") {
        const size = Math.min(left, bytes.length - at)
        onBytes(bytes.subarray(at, at + size))
        at += size
        left -= size
        if (left > 0) continue
        if (isChunked) state = "lineEnd"
        else end()
      } else {
        const end = bytes.indexOf(0x0a, at)
        line += bytes.toString("latin1", at, end < 0 ? bytes.length : end + 1)
        at = end < 0 ? bytes.length : end + 1
        if (end >= 0) onLine()
      }
    }
  }

  return {
    encode: requestOf,
    begin: (each) => {
      chunks = 0
      onBytes = each
    },
    read
  }
}

await LoadClient.main((port) => LoadSocket.connect(port, speak))
