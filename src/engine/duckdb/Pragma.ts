/**
 * The `PRAGMA`s that clients may send: those that describe tables and DuckDB itself.
 *
 * DuckDB rewrites them to a query that its parser cannot show, so the whole text has to match one of these
 * forms. Any other form is refused.
 */

const argument = String.raw`\(\s*(?:'[\w .]+'|"[\w .]+"|[a-z_][\w.]*)\s*\)`
const describing = `(?:table_info|storage_info|show)\\s*${argument}`
const plain = "(?:show_tables|show_tables_expanded|show_databases|collations|functions|version|platform)"

const pattern = new RegExp(`^\\s*pragma\\s+(?:${describing}|${plain})[\\s;]*$`, "i")

export const isAllowed = (sql: string): boolean => pattern.test(sql)
