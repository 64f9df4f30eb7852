/**
 * Why a query may fail: each code of an error needs a cause in what has happened.
 */
import type * as GatewayError from "../../../src/gateway/GatewayError.ts"
import type { Followed, Judge } from "./Judge.ts"
import * as Scenario from "./Scenario.ts"

/** What a code needs, and whether it is there. */
interface Need {
  readonly what: string
  readonly isMet: boolean
}

const unless = (needs: ReadonlyArray<Need>): string | undefined =>
  needs.some(({ isMet }) => isMet) ? undefined : needs.map(({ what }) => `not ${what}`).join(", ")

/** Queries that were under way together with it. */
const others = ({ followed }: Judge, one: Followed): ReadonlyArray<Followed> =>
  [...followed.values()].filter(
    (other) => other !== one && (other.endedAt === undefined || other.endedAt >= one.beganAt)
  )

/** What is missing to excuse an error; nothing if it has its cause. */
export const missing = (
  judge: Judge,
  followed: Followed,
  { code }: GatewayError.GatewayError
): string | undefined => {
  const { run, scenario } = judge
  const { client, exchanges, key, open, request } = followed
  const { query, timeoutMs } = request
  const took = run.now - followed.beganAt
  const says = (letter: string): Need => ({
    what: `a back-end's ${letter} ${code}`,
    isMet: exchanges.some((exchange) => exchange.terminal === letter && exchange.code === code)
  })
  const links = judge.links.filter(({ address }) => followed.asked.includes(address))
  const isRefused: Need = {
    what: "a refused connection",
    isMet: links.some(({ refusal }) => refusal === code)
  }
  const isTroubled = { what: "any trouble", isMet: !Scenario.isCalm(scenario) }
  const isComplete = exchanges.some(({ terminal }) => terminal === "F")
  const wasTaken = { what: "taken up", isMet: open !== undefined }
  switch (code) {
    case "cancelled":
      return (
        unless([{ what: "cancelled by id", isMet: followed.cancelledAt !== undefined }]) ??
        unless([{ what: "before its end", isMet: !isComplete }])
      )
    case "unknown_outcome":
      return (
        unless([
          { what: "cancelled by id", isMet: followed.cancelledAt !== undefined },
          { what: "a gateway that stops", isMet: judge.isDraining }
        ]) ?? unless([{ what: "complete at its back-end", isMet: isComplete }])
      )
    case "execution_failed":
      return unless([{ what: "an engine's", isMet: query.ending === "fail" }]) ?? unless([says("E")])
    case "not_found":
      return unless([{ what: "an engine's", isMet: query.init === "not_found" }]) ?? unless([says("J")])
    case "internal":
      return unless([says("J"), says("E")])
    case "timeout": {
      const limit = Math.min(timeoutMs ?? Infinity, Number(scenario.server.queryTimeout))
      return unless([{ what: `after ${limit} ms`, isMet: took >= limit }])
    }
    case "overloaded":
      return unless([
        says("J"),
        says("E"),
        isRefused,
        { what: "full", isMet: others(judge, followed).length >= scenario.gateway.backendConnections },
        {
          what: "kept waiting by trouble",
          isMet: isTroubled.isMet && took >= scenario.gateway.backendQueueTimeout
        },
        { what: "beyond its conversations", isMet: open === undefined && key !== undefined }
      ])
    case "shutting_down":
      return unless([
        says("J"),
        says("E"),
        isRefused,
        { what: "a gateway that stops", isMet: judge.isDraining }
      ])
    case "backend_lost":
      return (
        unless([isTroubled]) ??
        unless([
          {
            what: "a connection that broke",
            isMet:
              exchanges.at(-1)?.terminal !== undefined || exchanges.length === 0
                ? links.some(({ isOver }) => isOver)
                : exchanges.some(({ link, terminal }) => terminal === undefined && link.isOver)
          }
        ])
      )
    case "backend_unavailable":
      return unless([isTroubled]) ?? unless([wasTaken])
    case "conversation_lost":
      return (
        unless([isTroubled]) ??
        unless([
          {
            what: "a conversation with an address",
            isMet: key !== undefined && judge.conversations.hasBeen(key)
          }
        ])
      )
    case "query_id_in_use":
      return unless([
        { what: "an id of its own", isMet: request.queryId !== undefined && open === undefined }
      ])
    case "quota_exceeded": {
      const { caller } = client
      const running = others(judge, followed).filter(
        (other) => other.client.caller === caller && other.open !== undefined
      )
      const isFull = caller !== "" && running.length >= scenario.quota
      return unless([{ what: `${scenario.quota} queries of ${caller}`, isMet: isFull }])
    }
    default:
      return "nothing excuses it"
  }
}
