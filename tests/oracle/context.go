package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	gofs "io/fs"
	"os"
	"path/filepath"
	"runtime"
	"syscall"

	"github.com/moby/patternmatcher"
	"github.com/moby/patternmatcher/ignorefile"
	"github.com/tonistiigi/fsutil"
	"github.com/tonistiigi/fsutil/types"
)

func init() {
	operations["context"] = contextFiles
	operations["ignore"] = ignore
	operations["ignorefile"] = ignoreFile
	operations["match"] = match
}

type contextFile struct {
	Path string `json:"path"`
	Type string `json:"type"`
	Mode string `json:"mode"`
	Size int64  `json:"size"`
	Link string `json:"link"`
}

// contextFiles lists what BuildKit's client sends of a directory: session/filesync's filter, then the hard links as
// fsutil.Send resets them.
func contextFiles(request json.RawMessage) (any, error) {
	var asked struct {
		Dir    string   `json:"dir"`
		Ignore []string `json:"ignore"`
		UID    int      `json:"uid"`
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	if asked.UID != 0 {
		// files are opened as that user: root could read everything
		runtime.LockOSThread()
		defer runtime.UnlockOSThread()
		defer syscall.Setfsuid(os.Getuid())
		if err := syscall.Setfsuid(asked.UID); err != nil {
			return nil, err
		}
	}
	fs, err := fsutil.NewFS(asked.Dir)
	if err != nil {
		return nil, err
	}
	fs, err = fsutil.NewFilterFS(fs, &fsutil.FilterOpt{ExcludePatterns: asked.Ignore})
	if err != nil {
		return nil, err
	}
	files := []contextFile{}
	err = fsutil.WithHardlinkReset(fs).Walk(context.Background(), "/", func(path string, entry gofs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		stat := info.Sys().(*types.Stat)
		files = append(files, contextFile{
			Path: filepath.ToSlash(stat.Path), Type: typeOf(info.Mode()), Mode: modeOf(info.Mode()), Size: stat.Size, Link: stat.Linkname,
		})
		return nil
	})
	return files, err
}

func typeOf(mode os.FileMode) string {
	switch {
	case mode.IsDir():
		return "dir"
	case mode&os.ModeSymlink != 0:
		return "symlink"
	}
	return "file"
}

func modeOf(mode os.FileMode) string {
	bits := uint32(mode.Perm())
	for flag, bit := range map[os.FileMode]uint32{os.ModeSetuid: 0o4000, os.ModeSetgid: 0o2000, os.ModeSticky: 0o1000} {
		if mode&flag != 0 {
			bits |= bit
		}
	}
	return fmt.Sprintf("%04o", bits)
}

// ignore says of each path whether it is excluded, by MatchesOrParentMatches and by MatchesUsingParentResults with
// the results of its parents, or the error that it gives.
func ignore(request json.RawMessage) (any, error) {
	var asked struct {
		Patterns []string `json:"patterns"`
		Paths    []string `json:"paths"`
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	matcher, err := patternmatcher.New(asked.Patterns)
	if err != nil {
		return nil, err
	}
	type verdict struct {
		Alone  any `json:"alone"`
		Walked any `json:"walked"`
	}
	verdicts := []verdict{}
	for _, path := range asked.Paths {
		var v verdict
		if v.Alone, err = matcher.MatchesOrParentMatches(path); err != nil {
			v.Alone = err.Error()
		}
		if v.Walked, err = walked(matcher, path); err != nil {
			v.Walked = err.Error()
		}
		verdicts = append(verdicts, v)
	}
	return verdicts, nil
}

func walked(matcher *patternmatcher.PatternMatcher, path string) (bool, error) {
	var info patternmatcher.MatchInfo
	excluded := false
	for i, c := range path + "/" {
		if c != '/' {
			continue
		}
		var err error
		if excluded, info, err = matcher.MatchesUsingParentResults(path[:i], info); err != nil {
			return false, err
		}
	}
	return excluded, nil
}

func ignoreFile(request json.RawMessage) (any, error) {
	var asked struct {
		Data []byte `json:"data"`
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	patterns, err := ignorefile.ReadAll(bytes.NewReader(asked.Data))
	if patterns == nil {
		patterns = []string{}
	}
	return patterns, err
}

func match(request json.RawMessage) (any, error) {
	var asked struct {
		Pattern string `json:"pattern"`
		Name    string `json:"name"`
	}
	if err := json.Unmarshal(request, &asked); err != nil {
		return nil, err
	}
	return filepath.Match(asked.Pattern, asked.Name)
}
