/**
 * What a service manager such as systemd is told of a server, if it asks for that (`NOTIFY_SOCKET`).
 */
import * as Effect from "effect/Effect"
import * as CLibrary from "../process/CLibrary.ts"

const send = (state: string): Effect.Effect<void> =>
  Effect.suspend(() => {
    const socket = process.env["NOTIFY_SOCKET"]
    if (socket === undefined || CLibrary.sendDatagram(socket, state)) return Effect.void
    return Effect.logWarning(
      `The service manager cannot be told ${state} (NOTIFY_SOCKET): Node 26 can, on Linux; this is ${process.version}`
    )
  })

/** The server answers. */
export const ready = send("READY=1")

/** The server stops. */
export const stopping = send("STOPPING=1")
