/**
 * The project of somebody who uses the installed package: compiled with declarations, by several compilers.
 */
import { copyFileSync, mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from "node:fs"
import { basename, dirname, join } from "node:path"

const root = new URL("../../", import.meta.url).pathname

/** The path of the compiler that a package of this repository's has. */
export const compiler = (name: string): string => join(root, "node_modules", name, "bin", "tsc")

const packages = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder).flatMap((name) =>
    name.startsWith("@") ? readdirSync(join(folder, name)).map((inner) => join(name, inner)) : [name]
  )

/** Lends the project what this repository has and the package does not bring, such as the test runner. */
const lend = (project: string): void => {
  const installed = new Set(packages(join(dirname(project), "node_modules")))
  const ours = join(root, "node_modules")
  for (const name of packages(ours)) {
    if (name.startsWith(".") || installed.has(name)) continue
    const link = join(project, "node_modules", name)
    mkdirSync(dirname(link), { recursive: true })
    symlinkSync(join(ours, name), link)
  }
}

/** The examples in the docs of the sources. */
const examples = (): ReadonlyArray<string> => {
  const src = join(root, "src")
  return readdirSync(src, { recursive: true, encoding: "utf8" })
    .filter((path) => path.endsWith(".ts"))
    .sort()
    .flatMap((path) => [
      ...readFileSync(join(src, path), "utf8").matchAll(/^ \* ```ts\n((?: \*.*\n)*?) \* ```$/gm)
    ])
    .map(([, code = ""]) => code.replace(/^ \* ?/gm, ""))
}

/**
 * Makes a project in a folder beside the `node_modules` that the package is installed in: of these sources, and of the
 * examples in the docs. Returns the names of its files.
 */
export const make = (project: string, sources: ReadonlyArray<string>): ReadonlyArray<string> => {
  lend(project)
  for (const source of sources) copyFileSync(join(root, source), join(project, basename(source)))
  const names = examples().map((code, i) => {
    writeFileSync(join(project, `example${i}.ts`), code)
    return `example${i}.ts`
  })
  return [...sources.map((source) => basename(source)), ...names]
}

/** Writes the configuration that resolves modules in this way, and returns its path. */
export const configure = (project: string, out: string, options: object): string => {
  const path = join(project, `tsconfig.${out}.json`)
  writeFileSync(
    path,
    JSON.stringify({
      compilerOptions: {
        target: "ES2024",
        lib: ["ES2024", "ESNext.Disposable", "DOM"],
        strict: true,
        exactOptionalPropertyTypes: true,
        composite: true,
        declaration: true,
        emitDeclarationOnly: true,
        allowImportingTsExtensions: true,
        skipLibCheck: true,
        // What is lent looks as if it were installed here: it finds the same `effect`.
        preserveSymlinks: true,
        types: [],
        rootDir: ".",
        outDir: out,
        ...options
      },
      include: ["*.ts"]
    })
  )
  return path
}
