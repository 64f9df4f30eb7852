import { PolledQuery, QueryEngine } from "dataconn"
import { Layer } from "effect"

const encoder = new TextEncoder()

/** Counts down from three, and waits before each number. */
class Countdown implements PolledQuery.PolledQuery {
  private left = 3
  private isReady = false
  private front = ""
  private back = ""

  init(): PolledQuery.InitResult {
    return { _tag: "Accept", payload: encoder.encode("counting") }
  }
  run(): PolledQuery.Status {
    this.isReady = !this.isReady
    if (this.isReady) return "wait"
    this.back = `${this.left}\n`
    return this.left-- > 1 ? "payload" : "complete"
  }
  toggle() {
    this.front = this.back
  }
  payload() {
    return encoder.encode(this.front)
  }
  end() {}
}

export const Countdowns = Layer.succeed(
  QueryEngine.QueryEngine,
  PolledQuery.makeEngine(() => new Countdown(), { pollInterval: "1 second" })
)
