package main

import (
	"bytes"
	"encoding/json"
	"strings"
	"unicode"

	"github.com/moby/buildkit/frontend/dockerfile/command"
	"github.com/moby/buildkit/frontend/dockerfile/instructions"
	"github.com/moby/buildkit/frontend/dockerfile/linter"
	"github.com/moby/buildkit/frontend/dockerfile/parser"
)

// parse: {"data": BASE64} -> what `layercache parse --json` prints; refused by the parser or by the instructions' checks.
// detect_syntax: {"data": BASE64} -> the `syntax` directive, or null.
// mounts: {"data": BASE64} -> the mounts of the first RUN, expanded with no variables at hand.
func init() {
	operations["parse"] = parse
	operations["detect_syntax"] = detectSyntax
	operations["mounts"] = mounts
}

type document struct {
	Data []byte `json:"data"`
}

type directiveJSON struct {
	Name  string `json:"name"`
	Value string `json:"value"`
	Line  int    `json:"line"`
}

type heredocJSON struct {
	Delimiter      string `json:"delimiter"`
	FileDescriptor uint   `json:"file_descriptor"`
	Expand         bool   `json:"expand"`
	StripTabs      bool   `json:"strip_tabs"`
	Content        string `json:"content"`
}

type instructionJSON struct {
	Keyword   string           `json:"keyword"`
	Flags     []string         `json:"flags"`
	Form      string           `json:"form"`
	Args      []string         `json:"args"`
	Heredocs  []heredocJSON    `json:"heredocs"`
	Trigger   *instructionJSON `json:"trigger"`
	Original  string           `json:"original"`
	StartLine int              `json:"start_line"`
	EndLine   int              `json:"end_line"`
}

type dockerfileJSON struct {
	Version      int                `json:"version"`
	Escape       string             `json:"escape"`
	Directives   []directiveJSON    `json:"directives"`
	Instructions []*instructionJSON `json:"instructions"`
}

func parse(request json.RawMessage) (any, error) {
	var in document
	if err := json.Unmarshal(request, &in); err != nil {
		return nil, err
	}
	result, err := parser.Parse(bytes.NewReader(in.Data))
	if err != nil {
		return nil, err
	}
	// With no linter BuildKit would crash on a comment that reads like a check directive.
	if _, _, err := instructions.Parse(result.AST, linter.New(&linter.Config{})); err != nil {
		return nil, err
	}
	out := dockerfileJSON{Version: 1, Escape: string(result.EscapeToken), Directives: directivesOf(in.Data)}
	for _, node := range result.AST.Children {
		out.Instructions = append(out.Instructions, instructionOf(node, node.StartLine, node.EndLine))
	}
	return out, nil
}

// BuildKit's parser throws its directives away; its directive parser, fed as the parser feeds it, has them.
func directivesOf(data []byte) []directiveJSON {
	found := []directiveJSON{}
	data = bytes.TrimPrefix(data, []byte("\xef\xbb\xbf"))
	var directives parser.DirectiveParser
	for _, line := range bytes.SplitAfter(data, []byte("\n")) {
		line = bytes.TrimLeftFunc(bytes.TrimRight(line, "\r\n"), unicode.IsSpace)
		directive, err := directives.ParseLine(line)
		if err != nil || directive == nil {
			break
		}
		found = append(found, directiveJSON{directive.Name, directive.Value, directive.Location[0].Start.Line})
	}
	return found
}

func instructionOf(node *parser.Node, start, end int) *instructionJSON {
	out := &instructionJSON{
		Keyword:   keywordOf(node.Value),
		Flags:     append([]string{}, node.Flags...),
		Form:      "shell",
		Args:      []string{},
		Heredocs:  []heredocJSON{},
		Original:  node.Original,
		StartLine: start,
		EndLine:   end,
	}
	if node.Attributes["json"] {
		out.Form = "exec"
	}
	index := 0
	pairs := out.Keyword == "ENV" || out.Keyword == "LABEL"
	for next := node.Next; next != nil; next = next.Next {
		isSeparator := pairs && index%3 == 2
		index++
		switch {
		case len(next.Children) > 0:
			out.Trigger = instructionOf(next.Children[0], start, end)
		case !isSeparator:
			out.Args = append(out.Args, next.Value)
		}
	}
	for _, doc := range node.Heredocs {
		out.Heredocs = append(out.Heredocs, heredocJSON{doc.Name, doc.FileDescriptor, doc.Expand, doc.Chomp, doc.Content})
	}
	return out
}

// An unknown instruction, which only ONBUILD may hold, keeps its letters beyond ASCII.
func keywordOf(word string) string {
	name := strings.ToLower(word)
	if _, known := command.Commands[name]; known {
		return strings.ToUpper(name)
	}
	return strings.Map(func(r rune) rune {
		if 'a' <= r && r <= 'z' {
			return r - 'a' + 'A'
		}
		return r
	}, word)
}

func detectSyntax(request json.RawMessage) (any, error) {
	var in document
	if err := json.Unmarshal(request, &in); err != nil {
		return nil, err
	}
	_, value, location, found := parser.DetectSyntax(in.Data)
	if !found {
		return nil, nil
	}
	return directiveJSON{"syntax", value, location[0].Start.Line}, nil
}

type mountJSON struct {
	Type     string  `json:"type"`
	Source   string  `json:"source"`
	Target   string  `json:"target"`
	From     string  `json:"from_"`
	ID       string  `json:"id"`
	ReadOnly bool    `json:"read_only"`
	Required bool    `json:"required"`
	Sharing  string  `json:"sharing"`
	Size     int64   `json:"size"`
	Env      *string `json:"env"`
	Mode     *uint64 `json:"mode"`
	UID      *uint64 `json:"uid"`
	GID      *uint64 `json:"gid"`
}

func mounts(request json.RawMessage) (any, error) {
	var in document
	if err := json.Unmarshal(request, &in); err != nil {
		return nil, err
	}
	result, err := parser.Parse(bytes.NewReader(in.Data))
	if err != nil {
		return nil, err
	}
	stages, _, err := instructions.Parse(result.AST, linter.New(&linter.Config{}))
	if err != nil {
		return nil, err
	}
	run := stages[0].Commands[0].(*instructions.RunCommand)
	if err := run.Expand(func(word string) (string, error) { return word, nil }); err != nil {
		return nil, err
	}
	out := []mountJSON{}
	for _, m := range instructions.GetMounts(run) {
		out = append(out, mountJSON{
			string(m.Type), m.Source, m.Target, m.From, m.CacheID, m.ReadOnly, m.Required, string(m.CacheSharing),
			m.SizeLimit, m.Env, m.Mode, m.UID, m.GID,
		})
	}
	return out, nil
}
