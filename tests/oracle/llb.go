package main

import (
	"context"
	"encoding/json"
	"fmt"
	"strings"

	"github.com/moby/buildkit/client/llb"
	"github.com/moby/buildkit/client/llb/sourceresolver"
	"github.com/moby/buildkit/frontend/dockerfile/dockerfile2llb"
	"github.com/moby/buildkit/frontend/dockerui"
	"github.com/moby/buildkit/solver"
	"github.com/moby/buildkit/solver/llbsolver/ops"
	"github.com/moby/buildkit/solver/pb"
	"github.com/moby/buildkit/util/apicaps"
	digest "github.com/opencontainers/go-digest"
	ocispecs "github.com/opencontainers/image-spec/specs-go/v1"
)

func init() {
	operations["llb"] = convert
}

type llbRequest struct {
	Data      []byte            `json:"data"`
	BuildArgs map[string]string `json:"build_args"`
	Target    string            `json:"target"`
	Network   string            `json:"network"`
	ShmSize   int64             `json:"shm_size"`
	Hostname  string            `json:"hostname"`
	Images    images            `json:"images"`
}

// images says what the config of each image is; a reference has its full form.
type images map[string]json.RawMessage

func (known images) ResolveImageConfig(_ context.Context, ref string, _ sourceresolver.Opt) (string, digest.Digest, []byte, error) {
	config, ok := known[ref]
	if !ok {
		return "", "", nil, fmt.Errorf("no image %s", ref)
	}
	return ref, digest.FromString(ref), config, nil
}

type vertex struct {
	Lines []int32 `json:"lines"`
	Kind  string  `json:"kind"`
	Key   string  `json:"key"`
}

// convert gives for each vertex that stands in the Dockerfile its lines and its cache key: the digest of its CacheMap,
// as the solver makes it, chained to the keys of its inputs and their selectors.
func convert(raw json.RawMessage) (any, error) {
	var request llbRequest
	if err := json.Unmarshal(raw, &request); err != nil {
		return nil, err
	}
	ctx := context.Background()
	platform := ocispecs.Platform{OS: "linux", Architecture: "amd64"}
	capabilities := pb.Caps.CapSet(pb.Caps.All())
	network := map[string]pb.NetMode{"host": pb.NetMode_HOST, "none": pb.NetMode_NONE}[request.Network]
	result, err := dockerfile2llb.Dockerfile2LLB(ctx, request.Data, dockerfile2llb.ConvertOpt{
		Config: dockerui.Config{
			BuildArgs: request.BuildArgs, Target: request.Target, NetworkMode: network, ShmSize: request.ShmSize,
			Hostname: request.Hostname, BuildPlatforms: []ocispecs.Platform{platform},
		},
		SourceMap:      llb.NewSourceMap(nil, "Dockerfile", "Dockerfile", request.Data),
		TargetPlatform: &platform,
		MetaResolver:   request.Images,
		LLBCaps:        &capabilities,
	})
	if err != nil {
		return nil, err
	}
	return vertices(ctx, result.State, capabilities)
}

func vertices(ctx context.Context, state llb.State, capabilities apicaps.CapSet) ([]vertex, error) {
	definition, err := state.Marshal(ctx, llb.LinuxAmd64, llb.WithCaps(capabilities))
	if err != nil {
		return nil, err
	}
	keys, locals := map[string]string{}, map[string]bool{}
	out := []vertex{}
	for _, encoded := range definition.Def {
		var op pb.Op
		if err := op.Unmarshal(encoded); err != nil {
			return nil, err
		}
		name := digest.FromBytes(encoded).String()
		kind, key, err := keyOf(ctx, &op, keys, locals)
		if err != nil {
			return nil, err
		}
		keys[name] = key
		locals[name] = op.GetSource() != nil && strings.HasPrefix(op.GetSource().Identifier, "local://")
		lines := []int32{}
		if locations := definition.Source.Locations[name]; locations != nil {
			for _, location := range locations.Locations {
				lines = append(lines, location.Ranges[0].Start.Line) // there is one for each line that it takes
			}
		}
		if len(lines) > 0 {
			out = append(out, vertex{lines, kind, key})
		}
	}
	return out, nil
}

func keyOf(ctx context.Context, op *pb.Op, keys map[string]string, locals map[string]bool) (kind string, key string, err error) {
	var cached *solver.CacheMap
	switch o := op.Op.(type) {
	case *pb.Op_Exec:
		kind = "exec"
		var exec *ops.ExecOp
		if exec, err = ops.NewExecOp(known{len(op.Inputs)}, o, op.Platform, nil, nil, nil, nil, nil, nil, false); err == nil {
			cached, _, err = exec.CacheMap(ctx, nil, 0)
		}
	case *pb.Op_File:
		kind = "file"
		var file solver.Op
		if file, err = ops.NewFileOp(known{len(op.Inputs)}, o, nil, nil, nil); err == nil {
			cached, _, err = file.CacheMap(ctx, nil, 0)
		}
	case *pb.Op_Merge:
		kind = "merge"
		var merge solver.Op
		if merge, err = ops.NewMergeOp(known{len(op.Inputs)}, o, nil); err == nil {
			cached, _, err = merge.CacheMap(ctx, nil, 0)
		}
	case *pb.Op_Source:
		return "source", o.Source.Identifier, nil
	default:
		return "other", "", nil
	}
	if err != nil {
		return "", "", err
	}
	parts := []string{cached.Digest.String()}
	for i, input := range op.Inputs {
		selector := cached.Deps[i].Selector
		if kind == "file" && locals[input.Digest] {
			selector = "" // what is copied out of the context counts by its content
		}
		parts = append(parts, fmt.Sprint(keys[input.Digest], input.Index, selector))
	}
	return kind, digest.FromString(strings.Join(parts, "|")).String(), nil
}

// known is a vertex of which only the number of its inputs matters.
type known struct{ inputs int }

func (known) Digest() digest.Digest         { return "" }
func (known) Sys() any                      { return nil }
func (known) Options() solver.VertexOptions { return solver.VertexOptions{} }
func (k known) Inputs() []solver.Edge       { return make([]solver.Edge, k.inputs) }
func (known) Name() string                  { return "" }
