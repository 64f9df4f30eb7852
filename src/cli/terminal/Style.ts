/**
 * The few ways in which text stands out on a terminal that has colours.
 */

export interface Style {
  readonly bold: (text: string) => string
  readonly dim: (text: string) => string
}

const around = (code: number) => (text: string) => (text === "" ? "" : `\u001b[${code}m${text}\u001b[0m`)

/** Text stays as it is. */
export const plain: Style = { bold: (text) => text, dim: (text) => text }

/** For terminals with colours: `NO_COLOR` is not set, and `TERM` is not `dumb`. */
export const coloured: Style = { bold: around(1), dim: around(2) }
