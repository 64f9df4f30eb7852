/**
 * The editor's colours, taken from the page, for light and dark: CodeMirror's own are for light only. Text
 * has a contrast of at least 4.5:1 on all possible backgrounds.
 */
import { HighlightStyle } from "@codemirror/language"
import { EditorView } from "@codemirror/view"
import { tags } from "@lezer/highlight"

/** A background on which text is readable: this percentage of a colour. */
const tint = (percent: number, color = "--accent"): string =>
  `color-mix(in srgb, var(${color}) ${percent}%, transparent)`

const border = "1px solid var(--line)"

export const theme = EditorView.theme({
  "&": { backgroundColor: "var(--ground)", color: "var(--text)", fontSize: "14px" },
  "&.cm-focused": { outlineColor: "var(--faint)" },
  ".cm-content": { caretColor: "var(--text)", fontFamily: "ui-monospace, monospace" },
  ".cm-cursor, .cm-dropCursor": { borderLeftColor: "var(--text)" },
  ".cm-gutters": { backgroundColor: "var(--raised)", color: "var(--faint)", border: "none" },
  ".cm-activeLine, .cm-activeLineGutter": { backgroundColor: tint(8) },
  "&.cm-focused > .cm-scroller > .cm-selectionLayer .cm-selectionBackground, .cm-selectionBackground": {
    background: tint(24)
  },
  ".cm-selectionMatch, .cm-searchMatch": { backgroundColor: tint(16) },
  ".cm-searchMatch-selected": { backgroundColor: tint(24), outline: "1px solid var(--accent)" },
  "&.cm-focused .cm-matchingBracket": { backgroundColor: tint(24) },
  "&.cm-focused .cm-nonmatchingBracket, .cm-lintRange-active": { backgroundColor: tint(12, "--bad") },
  ".cm-specialChar": { color: "var(--bad)" },
  ".cm-foldPlaceholder": { backgroundColor: "var(--raised)", color: "var(--text)", border },
  ".cm-tooltip": { backgroundColor: "var(--raised)", color: "var(--text)", border },
  ".cm-tooltip-autocomplete ul li[aria-selected]": {
    background: "var(--accent)",
    color: "var(--on-accent)"
  },
  ".cm-completionIcon": { opacity: 1 },
  ".cm-panels": { backgroundColor: "var(--raised)", color: "var(--text)" },
  ".cm-panels-bottom": { borderTop: border },
  ".cm-textfield, .cm-button": {
    backgroundColor: "var(--ground)",
    backgroundImage: "none",
    color: "var(--text)",
    border
  },
  ".cm-textfield::placeholder": { color: "var(--faint)", opacity: 1 },
  ".cm-button:active": { backgroundImage: "none" },
  ".cm-panel.cm-panel-lint ul [aria-selected]": { backgroundColor: tint(16) },
  ".cm-scroller": { overflow: "auto" }
})

export const highlighting = HighlightStyle.define([
  { tag: tags.keyword, color: "var(--keyword)" },
  { tag: [tags.bool, tags.null], color: "var(--atom)" },
  { tag: tags.number, color: "var(--number)" },
  { tag: tags.string, color: "var(--string)" },
  { tag: [tags.special(tags.string), tags.special(tags.name)], color: "var(--name)" },
  { tag: tags.typeName, color: "var(--type)" },
  { tag: tags.comment, color: "var(--comment)" },
  { tag: tags.invalid, color: "var(--bad)" }
])
