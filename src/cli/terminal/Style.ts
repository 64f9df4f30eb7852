/**
 * Emphasis of text on a terminal with colours.
 */

export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
}

const around = (code: number) => (text: string) => (text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`)

/** Leaves text unchanged. */
export const plain: Style = { bold: (text) => text, dim: (text) => text }

/** For terminals with colours: `NO_COLOR` is not set, and `TERM` is not `dumb`. */
export const coloured: Style = { bold: around(1), dim: around(2) }
