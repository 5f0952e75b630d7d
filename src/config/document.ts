/** A configuration file as parsed YAML, with the line of every key. */

import { type Document, isAlias, isMap, isScalar, isSeq, LineCounter, parseDocument, visit } from 'yaml'
import { ConfigError, type ConfigIssue, type KeyPath } from './errors.ts'
import { type Environment, expand, ExpansionError } from './expand.ts'

export interface ConfigDocument {
  /** Plain objects, arrays and scalars, with variables expanded. */
  readonly value: unknown
  /** `FILE:LINE` of the key, or of its nearest ancestor in the file. */
  origin(path: KeyPath): string
}

/** Throws ConfigError, with the line, for text that is not YAML or that names an unset variable. */
export function parseConfigDocument(text: string, file: string, environment: Environment): ConfigDocument {
  const lines = new LineCounter()
  const document = parseDocument(text, { lineCounter: lines, prettyErrors: false })
  const at = (offset: number) => `${file}:${lines.linePos(offset).line}`
  if (document.errors.length > 0) {
    throw new ConfigError(
      document.errors.map((error) => ({ path: [], message: error.message, origin: at(error.pos[0]) })),
    )
  }
  const issues: ConfigIssue[] = []
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || typeof node.value !== 'string' || !node.value.includes('$')) return
      try {
        const expanded = expand(node.value, environment)
        node.value = node.type === 'PLAIN' ? plainScalar(expanded) : expanded
      } catch (error) {
        if (!(error instanceof ExpansionError)) throw error
        issues.push({ path: [], message: error.message, origin: at(node.range?.[0] ?? 0) })
      }
    },
  })
  if (issues.length > 0) throw new ConfigError(issues)
  return { value: toValue(document, file), origin: (path) => at(offsetOf(document, path)) }
}

/** Reads an unquoted value again after its variables were expanded, so that `${PORT}` can be a number. */
function plainScalar(text: string): string | number | boolean | null {
  if (text === '') return null
  if (text === 'true' || text === 'false') return text === 'true'
  return /^(0|[1-9]\d{0,14})$/.test(text) ? Number(text) : text
}

function toValue(document: Document, file: string): unknown {
  try {
    return document.toJS()
  } catch (error) {
    // Too many aliases, or an alias without its anchor.
    throw new ConfigError([{ path: [], message: (error as Error).message, origin: file }], { cause: error })
  }
}

function offsetOf(document: Document, path: KeyPath): number {
  let node: unknown = document.contents
  let offset = 0
  for (const key of path) {
    if (isAlias(node)) node = node.resolve(document)
    if (isMap(node)) {
      const pair = node.items.find((item) => isScalar(item.key) && item.key.value === key)
      if (pair === undefined) break
      offset = isScalar(pair.key) ? (pair.key.range?.[0] ?? offset) : offset
      node = pair.value
    } else if (isSeq(node) && typeof key === 'number') {
      node = node.items[key]
      const range = (node as { range?: readonly number[] } | undefined)?.range
      offset = range?.[0] ?? offset
    } else {
      break
    }
  }
  return offset
}
