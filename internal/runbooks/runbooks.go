// Package runbooks reads docs/runbooks for the tests that hold its pages against
// the program: in docs/runbooks itself, and beside the program's commands.
package runbooks

import (
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"strings"
)

// Sections are the headings of every page but the index, in their order.
func Sections() []string {
	return []string{"Symptoms", "First look", "Causes", "Repair", "Afterwards"}
}

// Index is the page that leads to the others.
const Index = "README"

// Page is one runbook.
type Page struct {
	Name     string    // of the file, without .md
	Title    string    // of its first line; empty when that is no heading
	Lead     string    // what stands between the title and the first section
	Headings []Section // of the second level, in their order
	Text     string    // all of it
	Blocks   []Block
	Spans    []string // of inline code, in their order
}

// Section is a heading of the second level with what stands below it.
type Section struct{ Heading, Text string }

// Block is fenced code.
type Block struct {
	Info string // what stands behind the opening fence, such as "sql read"
	Text string
	Line int // of its first line in the file, from 1
}

// Read reads every page of a folder, sorted by name.
func Read(dir string) ([]Page, error) {
	folder := os.DirFS(dir)
	files, err := fs.Glob(folder, "*.md")
	if err != nil {
		return nil, err
	}
	if len(files) == 0 {
		return nil, fmt.Errorf("there is no page in %s", dir)
	}
	pages := make([]Page, 0, len(files))
	for _, file := range files {
		text, err := fs.ReadFile(folder, file)
		if err != nil {
			return nil, err
		}
		page, err := parse(string(text))
		if err != nil {
			return nil, fmt.Errorf("%s: %w", file, err)
		}
		page.Name = strings.TrimSuffix(file, ".md")
		pages = append(pages, page)
	}
	return pages, nil
}

var span = regexp.MustCompile("`([^`\n]+)`")

// parse knows the little Markdown that the pages use. Fences may be indented, as in lists.
func parse(text string) (Page, error) {
	p := Page{Text: text}
	var block *Block
	for i, line := range strings.Split(text, "\n") {
		fence, isFence := strings.CutPrefix(strings.TrimLeft(line, " "), "```")
		switch {
		case isFence && block == nil:
			block = &Block{Info: strings.TrimSpace(fence), Line: i + 2}
		case isFence:
			p.Blocks = append(p.Blocks, *block)
			block = nil
		case block != nil:
			block.Text += line + "\n"
		default:
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				p.Spans = append(p.Spans, m[1])
			}
		}
		p.place(i, line, block != nil || isFence)
	}
	if block != nil {
		return p, fmt.Errorf("the fence before line %d is never closed", block.Line)
	}
	return p, nil
}

// place puts a line where it belongs: title, lead or section.
func (p *Page) place(i int, line string, code bool) {
	title, isTitle := strings.CutPrefix(line, "# ")
	heading, isHeading := strings.CutPrefix(line, "## ")
	switch {
	case i == 0 && isTitle:
		p.Title = strings.TrimSpace(title)
	case isHeading && !code:
		p.Headings = append(p.Headings, Section{Heading: strings.TrimSpace(heading)})
	case len(p.Headings) == 0:
		p.Lead += line + "\n"
	default:
		p.Headings[len(p.Headings)-1].Text += line + "\n"
	}
}

// Of gives the texts of the blocks whose info begins with the word.
func (p *Page) Of(word string) (list []Block) {
	for _, b := range p.Blocks {
		if first, _, _ := strings.Cut(b.Info, " "); first == word {
			list = append(list, b)
		}
	}
	return list
}

// command is the program at the beginning of a line or a span, or by its path in
// the image. The names of namespaces and containers are not followed by arguments that way.
var command = regexp.MustCompile("(?m)(?:^|/)profile-api[ \t]+([^\n|;>&()#]+)")

// Commands gives the arguments of each call of the program that a page names.
func (p *Page) Commands() (list [][]string) {
	code := append([]string{}, p.Spans...)
	for _, b := range p.Of("sh") {
		code = append(code, b.Text)
	}
	for _, c := range code {
		for _, m := range command.FindAllStringSubmatch(c, -1) {
			list = append(list, strings.Fields(m[1]))
		}
	}
	return list
}
