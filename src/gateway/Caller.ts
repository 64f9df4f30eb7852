/** The callers and their permissions. Pure. */
import * as GatewayError from "./GatewayError.ts"
import type { ResponseFormat } from "./Negotiation.ts"

/** The permissions of a caller; an absent list permits everything. */
export interface Caller {
  /** Absent if the gateway has no tokens: all clients are then the same caller. */
  readonly name: string | undefined
  readonly tenant: string | undefined
  readonly targets: ReadonlySet<string> | undefined
  readonly formats: ReadonlySet<ResponseFormat> | undefined
  /** Whether all queries of the caller are read-only. */
  readonly readOnly: boolean
  /** Whether the caller sees and cancels the queries of others, and sees the metrics. */
  readonly admin: boolean
  readonly queriesPerMinute: number
  readonly maxConcurrentQueries: number
}

/** The caller of all requests, if there are no tokens. */
export const anybody: Caller = {
  name: undefined,
  tenant: undefined,
  targets: undefined,
  formats: undefined,
  readOnly: false,
  admin: true,
  queriesPerMinute: Number.POSITIVE_INFINITY,
  maxConcurrentQueries: Number.POSITIVE_INFINITY
}

/** Whether a caller may see and cancel a query of `owner`. */
export const owns = (caller: Caller, owner: string | undefined): boolean =>
  caller.admin || caller.name === owner

export const mayReach = (caller: Caller, target: string): boolean => caller.targets?.has(target) ?? true

/** The refusal of a format or a target that the caller may not use. */
export const refusal = (
  caller: Caller,
  { format, target }: { readonly format: ResponseFormat; readonly target: string }
): GatewayError.GatewayError | undefined => {
  if (!mayReach(caller, target)) {
    return GatewayError.make("forbidden", `target: the token may not ask ${JSON.stringify(target)}`)
  }
  return caller.formats === undefined || caller.formats.has(format)
    ? undefined
    : GatewayError.make(
        "forbidden",
        `format: the token may have ${[...caller.formats].join(", ")}, not ${format}`
      )
}
