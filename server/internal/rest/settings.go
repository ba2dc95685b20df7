package rest

import (
	"context"
	"net/http"

	"github.com/danielgtaylor/huma/v2"

	"github.com/strongroom/strongroom/server/internal/setting"
	"github.com/strongroom/strongroom/shared/api"
	"github.com/strongroom/strongroom/shared/grant"
)

func (r *REST) registerSettings(doc huma.API) {
	add(r, doc, route{method: http.MethodGet, path: "/v1/settings", summary: "List the settings", access: may(grant.SettingView)}, listSettings)
	add(r, doc, route{method: http.MethodGet, path: "/v1/settings/{name}", summary: "Show a setting", access: may(grant.SettingView)}, showSetting)
	add(r, doc, route{method: http.MethodPut, path: "/v1/settings/{name}", summary: "Change a setting", access: may(grant.SettingEdit)}, setSetting)
}

func settingOf(s setting.Setting) api.Setting {
	return api.Setting{Name: string(s.Name), Value: s.Value, Default: s.Default, Allowed: s.Allowed, Help: s.Help}
}

func listSettings(_ context.Context, c *call, _ *nothing) (api.SettingList, error) {
	out := api.SettingList{Items: []api.Setting{}}
	for _, s := range c.rooms.Settings.List() {
		out.Items = append(out.Items, settingOf(s))
	}
	return out, nil
}

func showSetting(_ context.Context, c *call, in *ByName) (api.Setting, error) {
	s, err := c.rooms.Settings.Get(setting.Name(in.Name))
	return settingOf(s), err
}

type settingSet struct {
	ByName
	Body api.SettingSet
}

func setSetting(ctx context.Context, c *call, in *settingSet) (api.Setting, error) {
	s, err := c.rooms.Settings.Set(ctx, c.person, setting.Name(in.Name), in.Body.Value)
	return settingOf(s), err
}
