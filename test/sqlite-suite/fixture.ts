import { execFileSync } from 'node:child_process'
import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { basename, join } from 'node:path'
import { fileURLToPath } from 'node:url'

const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url))
const BUILT = join(REPOSITORY, 'node_modules', '.cache', 'tools', 'sqlite-suite')

/** SQLite's test programs and its tests, as infra/sqlite-suite.sh made them. */
export class Fixture {
  readonly version = readFileSync(join(BUILT, 'VERSION'), 'utf8').trim()

  /** Builds what is missing, which takes a minute. */
  static build(): Fixture {
    execFileSync('bash', [join(REPOSITORY, 'infra', 'sqlite-suite.sh')], { stdio: ['ignore', 'inherit', 'inherit'] })
    return new Fixture()
  }

  /** Undefined if it was not built. */
  static find(): Fixture | undefined {
    return existsSync(join(BUILT, 'recipe')) ? new Fixture() : undefined
  }

  path(...parts: string[]): string {
    return join(BUILT, ...parts)
  }

  /** The paths of all test scripts, by their names without `.test`. */
  scripts(): Map<string, string> {
    const files = ['test', 'ext/rbu', 'ext/recover'].flatMap((directory) =>
      readdirSync(this.path(directory))
        .filter((name) => name.endsWith('.test'))
        .map((name) => this.path(directory, name)),
    )
    return new Map(files.map((file) => [basename(file, '.test'), file]))
  }
}
