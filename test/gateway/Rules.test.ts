/**
 * Which back-end a query goes to, and what can be told of its text.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Rules from "../../src/gateway/Rules.ts"
import * as SqlWords from "../../src/gateway/SqlWords.ts"

const subject = (more: Partial<Rules.Subject> = {}): Rules.Subject => ({
  query: "SELECT * FROM trades",
  target: undefined,
  token: undefined,
  tenant: undefined,
  headers: {},
  ...more
})

describe("a rule", () => {
  const rules: Rules.Rules = {
    rules: [
      { target: "eu", backend: "one" },
      { token: ["alice", "b*"], backend: "two" },
      { tenant: "acme", header: { "X-Region": "us-*" }, backend: "three" },
      { table: ["logs.*", "Quotes"], backend: "four" }
    ]
  }

  it.each([
    [{ target: "eu", token: "alice" }, "one"],
    [{ target: "e" }, undefined],
    [{ token: "bob" }, "two"],
    [{ token: "carol" }, undefined],
    [{ tenant: "acme", headers: { "x-region": "us-east" } }, "three"],
    [{ tenant: "acme", headers: { "x-region": "eu" } }, undefined],
    [{ tenant: "acme" }, undefined],
    [{ query: "FROM logs.today" }, "four"],
    [{ query: "SELECT 'quotes' FROM trades" }, undefined],
    [{ query: 'select * from trades join "quotes" using (ts)' }, "four"]
  ] as const)("decides %j: %s", (more, backend) => {
    assert.strictEqual(Rules.decide(rules, subject(more)), backend)
  })

  it("takes the characters of a pattern as they are, but for the asterisk", () => {
    const one = { rules: [{ target: "a.c*", backend: "x" }] }
    assert.isUndefined(Rules.decide(one, subject({ target: "abc" })))
    assert.strictEqual(Rules.decide(one, subject({ target: "a.c.d" })), "x")
    const parts = { rules: [{ target: "ab*bc*cd", backend: "x" }] }
    const fit = ["abbccd", "ab-bc-bc-cd", "abcd", "abbcd", "abbccdx", "ab*bc*cd"].filter(
      (target) => Rules.decide(parts, subject({ target })) === "x"
    )
    assert.deepStrictEqual(fit, ["abbccd", "ab-bc-bc-cd", "ab*bc*cd"])
    // A pattern that looked at each part from each place would take hours.
    const many = { rules: [{ table: "*a*b*a*b*c*", backend: "x" }] }
    assert.isUndefined(Rules.decide(many, subject({ query: `FROM ${"ab".repeat(100_000)}` })))
  })

  it("names a back-end that there is", () => {
    assert.strictEqual(Rules.problemOf(rules, ["one", "two", "three"]), "there is no back-end four")
    assert.isUndefined(Rules.problemOf({ rules: [], default: "one" }, ["one"]))
  })

  it("and a token that can have no effect are told", () => {
    const token = { name: "alice", tenant: "acme", targets: ["eu", "one", "mian"] }
    assert.deepStrictEqual(Rules.idle(rules, [token], ["one"]), [
      "httpTokens: alice: the target mian is no back-end's and no rule's"
    ])
    const none = { name: "a", targets: [], formats: [] }
    assert.deepStrictEqual(Rules.idle({ rules: [] }, [none, { ...none, admin: true }], ["one"]), [
      "httpTokens: a may ask nothing: its targets are an empty list",
      "httpTokens: a may ask nothing: its formats are an empty list"
    ])
    assert.match(
      Rules.idle({ rules: [] }, [{ name: "a", token: "\u00fc" }], []).join(),
      /^httpTokens: a: .*not ASCII/
    )
    const told = Rules.idle(rules, [], ["one"])
    assert.lengthOf(told, 2)
    assert.match(told.join(), /rules\.1 never holds.*rules\.2 never holds/)
  })

  it("that another one hides is told, and a table that no query names", () => {
    const backend = "one"
    const hidden = (...all: ReadonlyArray<Omit<Rules.Rule, "backend">>) =>
      Rules.idle({ rules: all.map((rule) => ({ ...rule, backend })), default: backend }, [], [backend])
    const never = "never decides, since rules.0 holds wherever it does"
    for (const [first, second] of [
      [{ target: "a" }, { target: "a", table: "b" }],
      [{ target: ["a*", "b"] }, { target: ["ab*", "b"] }],
      [{ header: { "X-A": "1*" } }, { header: { "x-a": ["1", "12"], b: "1" } }],
      [{ table: "LOGS.*" }, { table: "logs.today" }]
    ] as const) {
      assert.deepStrictEqual(hidden(first, second), [`httpRules: rules.1 ${never}`])
      assert.deepStrictEqual(hidden(second, first), [])
    }
    assert.match(hidden({ table: '"a b"' }).join(), /^httpRules: rules.0 hardly ever holds, .* quotes/)
    assert.match(hidden({ target: "a " }).join(), /^httpRules: rules.0 hardly ever holds, .* blank$/)
    assert.deepStrictEqual(hidden({}), ["httpRules: default has no effect, since rules.0 has no condition"])
  })

  it("asks for headers that can arrive", () => {
    const problem = (header: Rules.Rule["header"]) =>
      Rules.problemOf({ rules: [{ header, backend: "one" }] }, ["one"])
    assert.strictEqual(problem({ "x y": "a" }), 'rules.0.header: "x y" is no name of a header')
    assert.strictEqual(problem({ "X-A": "a", "x-a": "b" }), "rules.0.header: x-a occurs twice")
    for (const text of [" a", "a ", "a\nb", "\u20ac"])
      assert.match(problem({ a: ["b", text] }) ?? "", /^rules.0.header: a: /)
    assert.isUndefined(problem({ "x-region": ["eu *", "\u00fc", "a b"] }))
  })

  it("without conditions is the last one", () => {
    const any: Rules.Rule = { backend: "one", header: {} }
    const some: Rules.Rule = { backend: "one", table: "a" }
    assert.match(Rules.problemOf({ rules: [some, any, some] }, ["one"]) ?? "", /^rules\.1: /)
    assert.isUndefined(Rules.problemOf({ rules: [some, any] }, ["one"]))
  })
})

describe("the tables of a query", () => {
  it.each([
    ["FROM a", ["a"]],
    ["SELECT 1 FROM a, b AS c, main.D WHERE x IN (SELECT y FROM e, f)", ["a", "b", "d", "e", "f", "main.d"]],
    ["SELECT f(a, b) FROM range(10) t, x", ["x"]],
    ["INSERT INTO a SELECT * FROM 'file.csv'", ["a"]],
    ["SELECT '-- FROM a', $$ FROM b $$, $x$ FROM c $x$ /* FROM d */ -- FROM e\n FROM g", ["g"]],
    ["WITH w AS (SELECT * FROM a) SELECT a.b, c FROM w ORDER BY d, e", ["a", "w"]],
    ["FROM db.logs.today", ["db.logs.today", "logs.today", "today"]],
    ['SELECT * FROM "A b"."c""d" LEFT JOIN LATERAL e ON true', ['a b.c"d', 'c"d', "e"]]
  ] as const)("of %s", (query, tables) => {
    assert.deepStrictEqual([...SqlWords.tables(query)].sort(), [...tables].sort())
  })
})

describe("a query that would change something", () => {
  it.each([
    ["INSERT INTO a VALUES (1)", "insert"],
    ["  -- harmless\n/* so */ delete from a", "delete"],
    ["WITH w AS (SELECT 1) UPDATE a SET b = 1", "update"],
    ["WITH w AS (DELETE FROM a RETURNING *) SELECT * FROM w", "delete"],
    ["SELECT 1; DROP TABLE a", "drop"],
    ["EXPLAIN ANALYZE INSERT INTO a SELECT 1", "insert"],
    ["SELECT * INTO b FROM a", "into"],
    ["SELECT 'x'';' ; COPY a TO 'b'", "copy"],
    ["SELECT load, \"delete\", 'INSERT INTO' FROM drop_log -- ; drop table a", undefined],
    ["FROM a SELECT update_time", undefined]
  ] as const)("%s", (query, word) => {
    assert.strictEqual(SqlWords.writes(query), word)
  })
})
