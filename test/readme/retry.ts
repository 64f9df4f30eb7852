import { Effect, Schedule } from "effect"

/** Asks up to six times, ever later, where that is safe. The whole use of the response is to be in `ask`. */
export const retried = <A, E extends { readonly retryable: boolean }, R>(ask: Effect.Effect<A, E, R>) =>
  Effect.retry(ask, {
    while: (error) => error.retryable,
    times: 5,
    schedule: Schedule.jittered(Schedule.exponential("100 millis"))
  })
