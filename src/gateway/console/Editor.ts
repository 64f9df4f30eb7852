/**
 * The SQL editor.
 */
import { autocompletion, closeCompletion } from "@codemirror/autocomplete"
import { keywordCompletionSource, PostgreSQL } from "@codemirror/lang-sql"
import { ensureSyntaxTree, LanguageSupport, syntaxHighlighting } from "@codemirror/language"
import { setDiagnostics } from "@codemirror/lint"
import { Compartment, EditorState, Prec } from "@codemirror/state"
import { EditorView, keymap } from "@codemirror/view"
import { basicSetup } from "codemirror"
import * as Completion from "./Completion.ts"
import { highlighting, theme } from "./EditorTheme.ts"
import * as Positions from "./Positions.ts"
import type { Schema } from "./Tables.ts"

/** The events of the editor. */
export interface Listener {
  readonly run: () => void
  readonly changed: (text: string) => void
}

/**
 * How long parsing may take when the statement at the cursor is needed; after that the text runs as a whole.
 */
const parseMs = 200

const keywords = PostgreSQL.language.data.of({ autocomplete: keywordCompletionSource(PostgreSQL, true) })

export class Editor {
  private readonly view: EditorView
  private readonly language = new Compartment()
  private readonly listener: Listener
  private schemas: ReadonlyArray<Schema> = []

  constructor(parent: HTMLElement, listener: Listener) {
    this.listener = listener
    this.view = new EditorView({ parent, state: this.state("") })
  }

  private state(text: string): EditorState {
    return EditorState.create({
      doc: text,
      extensions: [
        Prec.highest(keymap.of([{ key: "Mod-Enter", run: () => this.run() }])),
        basicSetup,
        autocompletion(),
        this.language.of(this.sql()),
        theme,
        syntaxHighlighting(highlighting),
        EditorView.lineWrapping,
        EditorView.contentAttributes.of({ "aria-label": "SQL" }),
        EditorView.updateListener.of((update) => {
          if (update.docChanged) this.listener.changed(update.state.doc.toString())
        })
      ]
    })
  }

  private run(): boolean {
    closeCompletion(this.view)
    this.listener.run()
    return true
  }

  private sql() {
    const names = PostgreSQL.language.data.of({ autocomplete: Completion.source(this.schemas) })
    return new LanguageSupport(PostgreSQL.language, [names, keywords])
  }

  /** Sets the tables whose names are completed, and those of their columns. */
  complete(schemas: ReadonlyArray<Schema>): void {
    this.schemas = schemas
    this.view.dispatch({ effects: this.language.reconfigure(this.sql()) })
  }

  /** Shows another text, with its own history. */
  open(text: string): void {
    this.view.setState(this.state(text))
  }

  get text(): string {
    return this.view.state.doc.toString()
  }

  /**
   * The selection, or else the statement at the cursor, and its offset. A single statement includes all
   * surrounding text.
   */
  get chosen(): { readonly text: string; readonly from: number } {
    const { state } = this.view
    const { from, to } = state.selection.main
    if (from !== to) return { text: state.sliceDoc(from, to), from }
    const tree = ensureSyntaxTree(state, state.doc.length, parseMs)
    const statements = tree?.topNode.getChildren("Statement") ?? []
    const one = statements.findLast((statement) => statement.from <= from) ?? statements[0]
    return statements.length < 2 || one === undefined
      ? { text: this.text, from: 0 }
      : { text: state.sliceDoc(one.from, one.to), from: one.from }
  }

  insert(text: string): void {
    this.view.dispatch(this.view.state.replaceSelection(text))
    this.focus()
  }

  /** Marks the character at an offset, or nothing. */
  mark(offset: number | undefined, message: string): void {
    const { text } = this
    const from = Math.min(offset ?? 0, Math.max(0, text.length - 1))
    const word = this.view.state.wordAt(from)
    const marks =
      offset === undefined
        ? []
        : [
            {
              from,
              to: Math.max(word?.to ?? 0, Math.min(from + Positions.unitsAt(text, from), text.length)),
              severity: "error" as const,
              message
            }
          ]
    this.view.dispatch(setDiagnostics(this.view.state, marks))
    if (offset !== undefined) this.view.dispatch({ selection: { anchor: from }, scrollIntoView: true })
  }

  focus(): void {
    this.view.focus()
  }
}
