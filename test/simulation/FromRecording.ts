/**
 * A recording as a case of the simulation: its clients ask for as much at about the same times, and the engine answers
 * in the same way, over a network and with settings that the seed decides.
 *
 * What it keeps is the shape: long pauses become short, large chunks small, and long results have fewer of them.
 */
import * as Message from "../../src/protocol/Message.ts"
import * as Conversation from "../../src/recording/Conversation.ts"
import type { Recording } from "../../src/recording/Recording.ts"
import type { Random } from "./Random.ts"
import * as Scenario from "./Scenario.ts"

/** Longest pause between two steps of a client, and between two chunks of a result, in milliseconds. */
const longestPause = 500
const longestDelay = 50
/** Chunks of a result at most. */
const mostChunks = 40

const pause = (from: number, to: number, longest: number): number =>
  Math.round(Math.min(Math.max(0, to - from), longest))

const chunksOf = ({ accept, chunks }: Conversation.Exchange): ReadonlyArray<Scenario.Chunk> => {
  const shown =
    chunks.length <= mostChunks ? chunks : [...chunks.slice(0, mostChunks - 1), ...chunks.slice(-1)]
  return shown.map(({ at, length }, index) => ({
    delay: pause(shown[index - 1]?.at ?? accept?.at ?? at, at, longestDelay),
    size: Math.min(length, Scenario.mostChunkBytes)
  }))
}

const endings: Readonly<Record<number, Scenario.Ending>> = {
  [Message.Type.Final]: "complete",
  [Message.Type.Error]: "fail"
}

const query = (exchange: Conversation.Exchange, id: number): Scenario.Query => {
  const { accept, end, request } = exchange
  const answered = accept ?? end
  const isRejected = end?.type === Message.Type.Reject
  return {
    id,
    initDelay: answered === undefined ? 0 : pause(request.at, answered.at, longestPause),
    init: accept !== undefined ? "accept" : isRejected ? "reject" : "silent",
    chunks: chunksOf(exchange),
    // One that was cancelled or abandoned had not ended by itself.
    ending: endings[end?.type ?? 0] ?? "silent",
    finalizer: 0,
    timeout: undefined
  }
}

/** Whether the next request was sent before this one's answer had come, which the protocol does not allow. */
const isOvertaken = (conversation: Conversation.Conversation, index: number): boolean => {
  const next = conversation.exchanges[index + 1]
  const end = conversation.exchanges[index]?.end
  return next !== undefined && (end === undefined || next.request.at < end.at)
}

const violation = (
  conversation: Conversation.Conversation,
  index: number
): Scenario.Violation | undefined => {
  if (isOvertaken(conversation, index)) return "second request"
  const isLast = index === conversation.exchanges.length - 1
  return isLast && conversation.malformed.client ? "garbage" : undefined
}

const requests = (
  conversation: Conversation.Conversation,
  client: number
): ReadonlyArray<Scenario.Request> => {
  const { exchanges, openedAt } = conversation
  const overtaken = exchanges.findIndex((_, index) => isOvertaken(conversation, index))
  const allowed = overtaken === -1 ? exchanges : exchanges.slice(0, overtaken + 1)
  return allowed.map((exchange, index) => ({
    query: query(exchange, client * 100_000 + index),
    thinking: pause(exchanges[index - 1]?.end?.at ?? openedAt, exchange.request.at, longestPause),
    cancelAfter:
      exchange.cancel === undefined
        ? undefined
        : pause(exchange.request.at, exchange.cancel.at, longestPause),
    rest: undefined,
    violation: violation(conversation, index)
  }))
}

const client = (conversation: Conversation.Conversation, id: number, startsAt: number, random: Random) => {
  const { endings, ends, exchanges } = conversation
  const left = endings.find(({ from }) => from === "client")
  const how = left?.how === "broken" ? "reset" : "close"
  const isEarly = left !== undefined && ends < exchanges.length
  return {
    id,
    address: "first",
    startsAt,
    requests: requests(conversation, id),
    pause: 0,
    pauseMillis: 0,
    leaving: left === undefined ? undefined : how,
    leavesEarly: isEarly
      ? { how, at: pause(conversation.openedAt, left.at, longestPause * (exchanges.length + 1)) }
      : undefined,
    conditions: Scenario.conditions(random),
    packaged: false
  } satisfies Scenario.Client
}

const many = 1_000_000

/** Decides on what the recording does not have. */
export const make =
  (recording: Recording) =>
  (random: Random): Scenario.Scenario => {
    const base = Scenario.make(random)
    const conversations = Conversation.all(recording.entries)
    const began = conversations[0]?.openedAt ?? 0
    return {
      ...base,
      settings: {
        ...base.settings,
        lengthCounts: recording.header.lengthCounts,
        maxConnections: many,
        maxConnectionsPerAddress: Number.POSITIVE_INFINITY,
        maxConcurrentQueries: many,
        maxQueuedQueries: many,
        maxQueriesPerAddress: Number.POSITIVE_INFINITY,
        queryTimeout: 5000,
        writeTimeout: 5000,
        requestTimeout: 5000,
        idleTimeout: 5000,
        firstRequestTimeout: 5000,
        queueTimeout: 10_000
      },
      clients: conversations.map((conversation, index) =>
        client(
          conversation,
          index + 1,
          pause(began, conversation.openedAt, longestPause * conversations.length),
          random
        )
      ),
      stop: undefined,
      losses: []
    }
  }
