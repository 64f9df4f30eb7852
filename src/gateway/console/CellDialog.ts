/** The dialog that shows the whole value of a cell. */
import * as Copying from "./Copying.ts"
import * as Format from "./Format.ts"
import type { Cell } from "./Grid.ts"
import * as Json from "./Json.ts"

/** Longer texts are cut. Copying the cell gives all of them. */
const maxShown = 1_000_000

const pretty = (value: unknown): string =>
  typeof value === "object" && value !== null
    ? Json.indented(Format.text(value), maxShown)
    : Format.text(value)

export const show = (dialog: HTMLDialogElement, { column, row, value }: Cell): void => {
  const title = document.createElement("h2")
  title.textContent = column.name
  const text = pretty(value)
  const about = document.createElement("p")
  about.className = "about"
  about.textContent = [
    column.type,
    `row ${Format.count(row + 1)}`,
    ...(typeof value === "string" ? [Format.counted(value.length, "character")] : []),
    ...(text.length > maxShown ? [`the first ${Format.count(maxShown)} are shown`] : [])
  ].join(" · ")
  const content = document.createElement("pre")
  content.textContent = text.slice(0, maxShown)
  content.tabIndex = 0
  const close = document.createElement("button")
  close.textContent = "Close"
  close.addEventListener("click", () => dialog.close())
  dialog.replaceChildren(title, about, content, close)
  const stopCopying = Copying.handle(dialog, (selection) => {
    const isPart = content.firstChild !== null && selection?.containsNode(content.firstChild) === false
    return isPart ? undefined : value === null ? "" : Format.text(value)
  })
  const selectAll = (event: KeyboardEvent): void => {
    if (!Copying.isSelectAll(event)) return
    event.preventDefault()
    getSelection()?.selectAllChildren(content)
  }
  dialog.addEventListener("keydown", selectAll)
  dialog.addEventListener(
    "close",
    () => {
      stopCopying()
      dialog.removeEventListener("keydown", selectAll)
    },
    { once: true }
  )
  dialog.showModal()
  content.focus()
}
