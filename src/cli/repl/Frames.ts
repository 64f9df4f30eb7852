/**
 * The frames of a repl's connection, shown on request.
 */
import * as Result from "effect/Result"
import type { Event } from "../../recording/Observer.ts"
import * as FrameView from "../debug/FrameView.ts"
import type { Style } from "../terminal/Style.ts"

/** Most bytes of a body that are shown. */
export const maxBytes = 1024

/** The words of a user's choice. */
export const words: ReadonlyArray<string> = [...FrameView.bodies, "on", "off"]

export class Frames {
  private readonly style: Style
  /** The form of the bodies; `undefined` if frames are not shown. */
  shown: FrameView.Bodies | undefined
  /** Prints frames: above the line being typed if there is one, else separately from the results. */
  print: (text: string) => void = (text) => void process.stderr.write(`${text}\n`)

  constructor(style: Style) {
    this.style = style
  }

  /** Applies a word, or toggles without one. Returns the new state, or the problem with the word. */
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
