package main

import (
	"encoding/json"
	"fmt"

	"github.com/moby/buildkit/frontend/dockerfile/shell"
)

type expandRequest struct {
	Word       string   `json:"word"`
	Env        []string `json:"env"`
	Escape     string   `json:"escape"`
	RawQuotes  bool     `json:"raw_quotes"`
	RawEscapes bool     `json:"raw_escapes"`
	SkipUnset  bool     `json:"skip_unset"`
	SkipQuotes bool     `json:"skip_quotes"`
}

type expandAnswer struct {
	Result    string   `json:"result"`
	Words     []string `json:"words"`
	Matched   []string `json:"matched"`
	Unmatched []string `json:"unmatched"`
}

func init() {
	operations["expand"] = func(raw json.RawMessage) (any, error) {
		var request expandRequest
		if err := json.Unmarshal(raw, &request); err != nil {
			return nil, err
		}
		return expandWord(request)
	}
}

// A new Lex for each call, as for each build; ProcessWord and ProcessWords go through the same code, but are both asked.
func expandWord(request expandRequest) (any, error) {
	escape := []rune(request.Escape)
	if len(escape) != 1 {
		return nil, fmt.Errorf("oracle: escape must be one character, not %q", request.Escape)
	}
	lex := shell.NewLex(escape[0])
	lex.RawQuotes = request.RawQuotes
	lex.RawEscapes = request.RawEscapes
	lex.SkipUnsetEnv = request.SkipUnset
	lex.SkipProcessQuotes = request.SkipQuotes
	env := shell.EnvsFromSlice(request.Env)
	whole, err := lex.ProcessWordWithMatches(request.Word, env)
	if err != nil {
		return nil, err
	}
	words, err := lex.ProcessWords(request.Word, env)
	if err != nil {
		return nil, err
	}
	if words == nil {
		words = []string{}
	}
	return expandAnswer{whole.Result, words, names(whole.Matched), names(whole.Unmatched)}, nil
}

func names(set map[string]struct{}) []string {
	out := make([]string, 0, len(set))
	for name := range set {
		out = append(out, name)
	}
	return out
}
