import { contentsOf } from './contents.ts'

/**
 * An application on a mount: see application.ts. `application-process SQL PATH…` runs the statements on each database
 * (none: it only reads) and prints the contents as JSON, in the order of the paths.
 */
const [sql = '', ...paths] = process.argv.slice(2)
process.stdout.write(JSON.stringify(paths.map((path) => contentsOf(path, sql))))
