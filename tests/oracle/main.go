// Command oracle says what BuildKit's own libraries say.
//
// It reads one JSON request a line, {"op": NAME, ...}, and answers each with one line of JSON: {"ok": VALUE} or
// {"error": TEXT} where the library refuses. Differential tests keep one process running and ask it thousands of times.
package main

import (
	"bufio"
	"encoding/json"
	"fmt"
	"os"
)

// Each operation lives in a file of its own and registers itself here.
var operations = map[string]func(request json.RawMessage) (any, error){}

type answer struct {
	OK    any     `json:"ok,omitempty"`
	Error *string `json:"error,omitempty"`
}

func answerTo(line []byte) (out answer) {
	refuse := func(text string) answer { return answer{Error: &text} }
	defer func() {
		if r := recover(); r != nil {
			out = refuse(fmt.Sprintf("panic: %v", r))
		}
	}()
	var head struct {
		Op string `json:"op"`
	}
	if err := json.Unmarshal(line, &head); err != nil {
		return refuse("oracle: " + err.Error())
	}
	operation, known := operations[head.Op]
	if !known {
		return refuse("oracle: unknown op " + head.Op)
	}
	value, err := operation(json.RawMessage(line))
	if err != nil {
		return refuse(err.Error())
	}
	return answer{OK: value}
}

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	out := json.NewEncoder(os.Stdout)
	out.SetEscapeHTML(false)
	for {
		line, err := in.ReadBytes('\n')
		if len(line) > 0 {
			if err := out.Encode(answerTo(line)); err != nil {
				fmt.Fprintln(os.Stderr, err)
				os.Exit(1)
			}
		}
		if err != nil {
			return
		}
	}
}
