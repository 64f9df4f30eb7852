/** The list of tables. */
import { qualified, quoted, type Target } from "./Tables.ts"

const button = (text: string, title: string, onClick: () => void): HTMLButtonElement => {
  const made = document.createElement("button")
  made.type = "button"
  made.textContent = text
  made.title = title
  made.setAttribute("aria-label", title)
  made.addEventListener("click", onClick)
  return made
}

const note = (text: string): HTMLElement => {
  const made = document.createElement("p")
  made.textContent = text
  return made
}

/** Lists a target's tables; a click on a name inserts it. */
export const show = (
  parent: HTMLElement,
  target: Target | undefined,
  insert: (text: string) => void
): void => {
  if (target?.schemas === undefined || target.error !== undefined) {
    parent.replaceChildren(note(target?.error?.message ?? "No target."))
    return
  }
  const tables = target.schemas.flatMap((schema) => schema.tables.map((table) => ({ schema, table })))
  parent.replaceChildren(
    ...(tables.length === 0 ? [note("No tables.")] : []),
    ...(target.isComplete === false ? [note("There are too many: not all tables are shown.")] : []),
    ...tables.map(({ schema, table }) => {
      const details = document.createElement("details")
      const summary = document.createElement("summary")
      const name = qualified(schema, table)
      summary.append(name, " ")
      summary.append(button("+", `Insert ${name}`, () => insert(name)))
      const list = document.createElement("ul")
      for (const column of table.columns) {
        const item = document.createElement("li")
        const type = document.createElement("small")
        type.textContent = ` ${column.type}`
        item.append(
          button(column.name, `Insert ${column.name}`, () => insert(quoted(column.name))),
          type
        )
        list.append(item)
      }
      details.append(summary, list)
      return details
    })
  )
}
