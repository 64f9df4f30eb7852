/**
 * Who asks, and what they may ask. Pure.
 */
import * as GatewayError from "./GatewayError.ts"
import type { ResponseFormat } from "./Negotiation.ts"

/** What a caller may do; a list that is absent permits everything. */
export interface Caller {
  /** Absent where the gateway has no tokens: everybody is the same caller then. */
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

/** Everybody, where there are no tokens. */
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

/** Why a caller may not have a format or a target. */
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
