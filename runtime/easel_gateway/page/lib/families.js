// What the models that Easel knows by name make use of, as [default, least, most]; null: no use. The runtime has the
// same table in easel_runtime/pipelines/families.py, and a test sees that they agree.
export const FAMILIES = {
  "easel/demo": {
    "steps": [10, 1, 200], "guidance": [1, 0, 2],
    "image_guidance": [1.3, 1, 4], "strength": null
  },
  "timbrooks/instruct-pix2pix": {
    "steps": [100, 1, 1000], "guidance": [7.5, 0, 100],
    "image_guidance": [1.5, 1, 100], "strength": null
  },
  "stabilityai/sd-turbo": {
    "steps": [2, 1, 4], "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "stabilityai/sdxl-turbo": {
    "steps": [2, 1, 4], "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "ByteDance/SDXL-Lightning": {
    "steps": null, "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "ByteDance/SDXL-Lightning-2step": {
    "steps": null, "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "ByteDance/SDXL-Lightning-4step": {
    "steps": null, "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "ByteDance/SDXL-Lightning-8step": {
    "steps": null, "guidance": null,
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "SG161222/RealVisXL_V4.0": {
    "steps": [30, 1, 1000], "guidance": [5, 0, 100],
    "image_guidance": null, "strength": [0.5, 0, 1]
  },
  "SG161222/RealVisXL_V4.0_Lightning": {
    "steps": [6, 4, 12], "guidance": [1.5, 0, 2],
    "image_guidance": null, "strength": [0.5, 0, 1]
  }
};
