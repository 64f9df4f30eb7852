/**
 * The state of a repl between statements.
 */
import * as Effect from "effect/Effect"
import type { Parameters } from "../../engine/QueryApi.ts"
import type * as Formats from "../Formats.ts"
import * as Screen from "../terminal/Screen.ts"
import * as Catalogue from "./Catalogue.ts"
import * as Completion from "./Completion.ts"
import type { Connection } from "./Connection.ts"
import type { Frames } from "./Frames.ts"

/** Default for the shown rows of a table. */
export const defaultLimit = 1000

/** The destination of results instead of the terminal. */
export interface Output {
  readonly file: string
  /** How many results it holds. */
  results: number
}

export class Session {
  readonly connection: Connection
  /** The view of the connection's frames. */
  readonly frames: Frames
  /** Whether a person is typing. */
  readonly isInteractive: boolean
  /** The format that the user has chosen, if any. */
  format: Formats.Shown | undefined
  /** The layout of tables, such as each row on its side. */
  layout: "auto" | "table" | "vertical" = "auto"
  timing = false
  pager = false
  /** Most rows of a table; `undefined` is the default, which does not apply to a pager. */
  limit: number | undefined
  crlf: boolean
  header: boolean
  output: Output | undefined
  /** The last statement, for commands that run it again. */
  last: string | undefined
  /** The parameters of the next statement. */
  parameters: Parameters = []
  private catalogue: Completion.Catalogue | undefined

  constructor(
    connection: Connection,
    frames: Frames,
    options: { readonly isInteractive: boolean; readonly crlf: boolean; readonly header: boolean }
  ) {
    this.connection = connection
    this.frames = frames
    this.isInteractive = options.isInteractive
    this.crlf = options.crlf
    this.header = options.header
  }

  get maxRows(): number {
    if (this.limit !== undefined) return this.limit
    return this.isInteractive && !this.pager && this.output === undefined
      ? defaultLimit
      : Number.POSITIVE_INFINITY
  }

  /** The catalogue of the server, loaded on demand. */
  readonly names: Effect.Effect<Completion.Catalogue> = Effect.suspend(() => {
    if (this.catalogue !== undefined) return Effect.succeed(this.catalogue)
    return this.connection.client.pipe(
      Effect.flatMap(Catalogue.load),
      Effect.tap((catalogue) =>
        Effect.sync(() => {
          if (catalogue !== Completion.empty) this.catalogue = catalogue
        })
      ),
      Effect.orElseSucceed(() => Completion.empty)
    )
  })

  /** Discards the names, which may have changed. */
  forgetNames(): void {
    this.catalogue = undefined
  }
}

/** The screen that results are shown on. */
export const screen = Screen.look
