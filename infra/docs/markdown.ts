/** Markdown functions for the generated pages and the tests of all pages. */

const WIDTH = 120

/** Wraps text at spaces. A line is longer than the width only if it is a single word. */
export function wrap(text: string): string {
  const lines: string[] = []
  let line = ''
  for (const word of text.split(/\s+/).filter((each) => each !== '')) {
    if (line !== '' && line.length + 1 + word.length > WIDTH) {
      lines.push(line)
      line = word
    } else {
      line = line === '' ? word : `${line} ${word}`
    }
  }
  return [...lines, line].join('\n')
}

/** The page with blank lines in place of code blocks. */
export function proseLines(page: string): string[] {
  let fence: string | undefined
  return page.split('\n').map((line) => {
    const mark = /^ *(```+|~~~+)/.exec(line)?.[1]
    if (fence === undefined && mark === undefined) return line
    if (fence === undefined) fence = mark
    else if (mark === fence) fence = undefined
    return ''
  })
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: string): Set<string> {
  const anchors = new Set<string>()
  for (const line of proseLines(page)) {
    const title = /^#{1,6} +(.*?) *#*$/.exec(line)?.[1]
    if (title === undefined) continue
    const slug = anchorOf(title)
    let anchor = slug
    for (let i = 1; anchors.has(anchor); i++) anchor = `${slug}-${i}`
    anchors.add(anchor)
  }
  return anchors
}

function anchorOf(title: string): string {
  const text = title.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*]/g, '')
  return text
    .toLowerCase()
    .replace(/[^\p{Letter}\p{Number}\p{Mark} _-]/gu, '')
    .replaceAll(' ', '-')
}

interface Link {
  readonly line: number
  readonly target: string
}

/** The targets of all inline links and images of a page, except in code. */
export function linksOf(page: string): Link[] {
  return proseLines(page).flatMap((line, index) => {
    const text = line.replace(/(`+).*?\1/g, (code) => ' '.repeat(code.length))
    return [...text.matchAll(/\]\(([^)\s]+)\)/g)].map((match) => ({ line: index + 1, target: match[1] ?? '' }))
  })
}
