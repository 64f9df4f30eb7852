/** Copying without a selection, and of more than a selection's own text. */

/**
 * Has copying in `root` take the text that `textOf` returns, if it returns one. It is called with the
 * selection if that is in `root`: a selection elsewhere is one that was made before the focus came here.
 * Returns a function that ends this.
 */
export const handle = (
  root: HTMLElement,
  textOf: (selection: Selection | undefined) => string | undefined
): (() => void) => {
  const copy = (event: ClipboardEvent): void => {
    if (!root.contains(document.activeElement)) return
    const selection = getSelection()
    const isOwn =
      selection?.isCollapsed === false &&
      root.contains(selection.anchorNode) &&
      root.contains(selection.focusNode)
    const text = textOf(isOwn ? selection : undefined)
    if (text === undefined) return
    event.preventDefault()
    event.stopPropagation()
    event.clipboardData?.setData("text/plain", text)
  }
  // The event goes to the selection, which may be elsewhere.
  document.addEventListener("copy", copy, { capture: true })
  return () => document.removeEventListener("copy", copy, { capture: true })
}

/** Whether a key is that for selecting everything. */
export const isSelectAll = ({ altKey, ctrlKey, key, metaKey, shiftKey }: KeyboardEvent): boolean =>
  (ctrlKey || metaKey) && !altKey && !shiftKey && key.toLowerCase() === "a"

/** A field of tab-separated text, as spreadsheets read it. */
const field = (text: string): string => (/^"|[\t\r\n]/.test(text) ? `"${text.replaceAll('"', '""')}"` : text)

/** Rows as tab-separated text. */
export const table = (rows: ReadonlyArray<ReadonlyArray<string>>): string =>
  rows.map((row) => row.map(field).join("\t")).join("\n")
