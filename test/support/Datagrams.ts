/**
 * A socket for datagrams at a path, as service managers have one.
 */
import * as Effect from "effect/Effect"
import * as CLibrary from "../../src/process/CLibrary.ts"

const library = CLibrary.ffi()

/** Whether this Node can have one. */
export const isThere = process.platform === "linux" && library !== undefined

/** Opens the socket; it closes with the scope. `next` is a datagram that has come, or an empty text. */
export const open = (path: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      if (library === undefined) throw new Error("Node 26 is needed")
      const { functions } = library.dlopen(null, {
        socket: { arguments: ["i32", "i32", "i32"], return: "i32" },
        bind: { arguments: ["i32", "u64", "u32"], return: "i32" },
        recv: { arguments: ["i32", "u64", "u64", "i32"], return: "i64" },
        close: { arguments: ["i32"], return: "i32" }
      })
      const address = Buffer.alloc(110)
      new Uint16Array(address.buffer, address.byteOffset, 1)[0] = 1
      address.write(path, 2)
      const socket = functions.socket(1, 2, 0)
      if (functions.bind(socket, library.getRawPointer(address), address.length) !== 0) throw new Error(path)
      const into = Buffer.alloc(100)
      const doNotWait = 0x40
      const next = (): string => {
        const length = functions.recv(socket, library.getRawPointer(into), BigInt(into.length), doNotWait)
        return into.toString("utf8", 0, Math.max(0, Number(length)))
      }
      return { next, close: () => functions.close(socket) }
    }),
    ({ close }) => Effect.sync(close)
  )
