/**
 * The frames of a repl's connection, which are shown if the user wants to see them.
 */
import * as Result from "effect/Result"
import type { Event } from "../../recording/Observer.ts"
import * as FrameView from "../debug/FrameView.ts"
import type { Style } from "../terminal/Style.ts"

/** How much of a body is shown, in bytes. */
export const maxBytes = 1024

/** What a user says of them. */
export const words: ReadonlyArray<string> = [...FrameView.bodies, "on", "off"]

export class Frames {
  private readonly style: Style
  /** How their bodies are shown; `undefined` if they are not. */
  shown: FrameView.Bodies | undefined
  /** Where they are shown: above the line that is typed where there is one, else away from the results. */
  print: (text: string) => void = (text) => void process.stderr.write(`${text}\n`)

  constructor(style: Style) {
    this.style = style
  }

  /** Does what a word says, or the other thing without one; gives what is so now, or what is wrong with the word. */
  set(word: string): Result.Result<string, string> {
    if (word !== "" && !words.includes(word)) {
      return Result.fail(`\\frames: ${words.join(", ")}, not ${word}`)
    }
    const how = FrameView.bodies.find((each) => each === word)
    const isOn = word === "" ? this.shown === undefined : word !== "off"
    this.shown = isOn ? (how ?? "auto") : undefined
    return Result.succeed(
      this.shown === undefined ? "Frames are not shown." : `Frames are shown, with bodies as ${this.shown}.`
    )
  }

  readonly listener = (event: Event): void => {
    const { shown, style } = this
    if (shown !== undefined) this.print(FrameView.show(event, { bodies: shown, maxBytes, style }))
  }
}
