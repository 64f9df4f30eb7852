/** The WebSocket of a client, whose close always includes a reason. */
import * as NodeWS from "@effect/platform-node/NodeWS"

/** The close codes (RFC 6455 §7.4). */
export const closeCodes = { goingAway: 1001, policyViolation: 1008 } as const

/** The close reason of a stopping gateway that has answered all queries: any later query has not run. */
export const shuttingDown = "shutting_down: The gateway is shutting down"

/** The close reasons by code, for closes that give none. */
const reasons = (maxPayload: number): Readonly<Record<number, string>> => ({
  [closeCodes.goingAway]: "the gateway ends",
  1002: "the frames are not those of a WebSocket's client (RFC 6455)",
  1007: "a text is not UTF-8",
  [closeCodes.policyViolation]: "a message has too many parts",
  1009: `a message is longer than ${maxPayload} bytes (httpMaxBodySize)`,
  1011: "the gateway failed"
})

/** A message becomes a text, whose length Node limits to this. */
const longestText = 256 * 1024 * 1024

/** The longest message that is taken, in bytes. */
export const maxMessageSize = ({ httpMaxBodySize }: { readonly httpMaxBodySize: number }): number =>
  Math.min(httpMaxBodySize, longestText)

/** The class of WebSockets with this maximum message size. */
export const make = (maxPayload: number): typeof NodeWS.WebSocket => {
  const reasonOf = reasons(maxPayload)
  return class extends NodeWS.WebSocket {
    override close(code?: number, reason?: string | Buffer): void {
      super.close(code, reason ?? (code === undefined ? undefined : reasonOf[code]))
    }
  }
}
