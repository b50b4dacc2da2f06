// Command gpus is a device plugin that has the GPUs a file says, for a kubelet on a machine without any.
//
// The file is JSON: {"count": 2, "unhealthy": [1]}. It is read again and again, so GPUs can break, come and go.
package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"log"
	"net"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"time"

	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"
	api "k8s.io/kubelet/pkg/apis/deviceplugin/v1beta1"
)

const pause = 200 * time.Millisecond

type plugin struct {
	api.UnimplementedDevicePluginServer
	node, resource, file string
}

// devices are those of the file; none while it cannot be read.
func (p *plugin) devices() []*api.Device {
	var wanted struct {
		Count     int
		Unhealthy []int
	}
	if content, err := os.ReadFile(p.file); err != nil || json.Unmarshal(content, &wanted) != nil {
		return nil
	}
	var all []*api.Device
	for index := range wanted.Count {
		health := api.Healthy
		if slices.Contains(wanted.Unhealthy, index) {
			health = api.Unhealthy
		}
		all = append(all, &api.Device{ID: fmt.Sprintf("GPU-%s-%d", p.node, index), Health: health})
	}
	return all
}

func (p *plugin) ListAndWatch(_ *api.Empty, stream grpc.ServerStreamingServer[api.ListAndWatchResponse]) error {
	told := []*api.Device{nil} // unlike anything there is, so the first answer goes out at once
	for {
		if now := p.devices(); !reflect.DeepEqual(now, told) {
			if err := stream.Send(&api.ListAndWatchResponse{Devices: now}); err != nil {
				return err
			}
			told = now
		}
		select {
		case <-stream.Context().Done():
			return nil
		case <-time.After(pause):
		}
	}
}

func (p *plugin) Allocate(_ context.Context, asked *api.AllocateRequest) (*api.AllocateResponse, error) {
	answer := &api.AllocateResponse{}
	for _, container := range asked.ContainerRequests {
		answer.ContainerResponses = append(answer.ContainerResponses, &api.ContainerAllocateResponse{
			Envs: map[string]string{"NVIDIA_VISIBLE_DEVICES": strings.Join(container.DevicesIds, ",")},
		})
	}
	return answer, nil
}

func (p *plugin) GetDevicePluginOptions(context.Context, *api.Empty) (*api.DevicePluginOptions, error) {
	return &api.DevicePluginOptions{}, nil
}

// register serves the plugin beside the kubelet's socket and tells the kubelet so.
func (p *plugin) register(folder string) (*grpc.Server, error) {
	own := filepath.Join(folder, "easel-gpus.sock")
	_ = os.Remove(own) // of a kubelet before
	listener, err := net.Listen("unix", own)
	if err != nil {
		return nil, err
	}
	server := grpc.NewServer()
	api.RegisterDevicePluginServer(server, p)
	go func() { _ = server.Serve(listener) }()
	kubelet, err := grpc.NewClient("unix://"+filepath.Join(folder, "kubelet.sock"),
		grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		return server, err
	}
	defer func() { _ = kubelet.Close() }()
	limited, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	_, err = api.NewRegistrationClient(kubelet).Register(limited, &api.RegisterRequest{
		Version: api.Version, Endpoint: filepath.Base(own), ResourceName: p.resource,
	})
	return server, err
}

// registered says which life of the kubelet a plugin is registered with: the kubelet empties the folder when it starts.
func registered(folder string) any {
	if info, err := os.Stat(filepath.Join(folder, "kubelet.sock")); err == nil {
		return info.ModTime()
	}
	return nil
}

func main() {
	p := &plugin{}
	flag.StringVar(&p.node, "node", "", "name of the node, part of each GPU's identity")
	flag.StringVar(&p.file, "file", "", "which GPUs there are")
	flag.StringVar(&p.resource, "resource", "nvidia.com/gpu", "extended resource")
	folder := flag.String("folder", api.DevicePluginPath, "folder of the kubelet's socket")
	flag.Parse()
	for {
		kubelet := registered(*folder)
		if kubelet == nil {
			time.Sleep(pause)
			continue
		}
		server, err := p.register(*folder)
		log.Printf("registered: error %v", err)
		for err == nil && registered(*folder) == kubelet {
			time.Sleep(pause)
		}
		if server != nil {
			server.Stop()
		}
		if err != nil {
			time.Sleep(pause)
		}
	}
}
