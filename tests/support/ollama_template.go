// Renders conversations as Ollama does: its collation of messages, then Go's text/template.
// In: {"template": …, "conversations": [[{"Role": …, "Content": …}, …], …]}; out: a list of texts,
// each "ok:…" or "error:…".
package main

import (
	"bytes"
	"encoding/json"
	"os"
	"strings"
	"text/template"
)

type message struct{ Role, Content string }

func main() {
	var in struct {
		Template      string
		Conversations [][]message
	}
	if err := json.NewDecoder(os.Stdin).Decode(&in); err != nil {
		panic(err)
	}
	parsed := template.Must(template.New("").Option("missingkey=zero").Parse(in.Template))
	out := []string{}
	for _, conversation := range in.Conversations {
		var system []string
		var joined []*message
		for i := range conversation {
			m := &conversation[i]
			if m.Role == "system" {
				system = append(system, m.Content)
			}
			last := len(joined) - 1
			if last >= 0 && joined[last].Role == m.Role && m.Role != "tool" {
				joined[last].Content += "\n\n" + m.Content
			} else {
				joined = append(joined, m)
			}
		}
		var b bytes.Buffer
		err := parsed.Execute(&b, map[string]any{
			"System": strings.Join(system, "\n\n"), "Messages": joined, "Response": "",
		})
		if err != nil {
			out = append(out, "error:"+err.Error())
		} else {
			out = append(out, "ok:"+b.String())
		}
	}
	if err := json.NewEncoder(os.Stdout).Encode(out); err != nil {
		panic(err)
	}
}
