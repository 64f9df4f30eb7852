/**
 * What a service manager such as systemd is told of a server, if it asks for that (`NOTIFY_SOCKET`).
 */
import * as Effect from "effect/Effect"
import * as CLibrary from "../process/CLibrary.ts"
import * as Printable from "../server/Printable.ts"

const send = (state: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { NOTIFY_SOCKET: socket = "" } = process.env
    const wasSent = socket === "" || CLibrary.sendDatagram(socket, state)
    if (wasSent === true) return Effect.void
    const why =
      wasSent === undefined
        ? `Node 26 can, on Linux; this is ${process.version}`
        : "there is no socket that takes it"
    return Effect.logWarning(
      `The service manager at ${Printable.line(socket)} cannot be told ${state} (NOTIFY_SOCKET): ${why}`
    )
  })

/** The server answers. */
export const ready = send("READY=1")

/** The server stops. */
export const stopping = send("STOPPING=1")
